-- Replaces or ('') removes the record of one claim.
-- KEYS: i    ARGV: 1 claim  2 record or ''  3 ttl ms
if string.sub(redis.call('GETRANGE', KEYS[1], 0, 45), 2, 33) ~= ARGV[1] then return 'other' end
if ARGV[2] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 'ok'
