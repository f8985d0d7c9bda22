-- Tries every right that is needed on an entry of its own, and tells what evicts.
-- KEYS: p    ARGV: 1 any text
local t = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'PX', 5000)
local same = redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('GETRANGE', KEYS[1], 0, -1) == ARGV[1] and redis.call('PTTL', KEYS[1]) > 0
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('DEL', KEYS[1])
redis.call('INCR', KEYS[1])
redis.call('DEL', KEYS[1])
local info = redis.pcall('INFO', 'memory')                -- the least rights do not have it
local policy = type(info) == 'string' and string.match(info, 'maxmemory_policy:(%S+)') or ''
return {same and 'same' or 'other', t[1] * 1000 + math.floor(t[2] / 1000), policy}
