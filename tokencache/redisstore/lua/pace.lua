-- One request more of all replicas (GCRA), or how long it has to wait.
-- KEYS: r    ARGV: 1 emission us  2 burst us  3 longest wait us
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local v = redis.pcall('GETRANGE', KEYS[1], 0, 31)
if type(v) ~= 'string' then redis.call('DEL', KEYS[1]) v = '' end
local emission, burst, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = tonumber(string.match(v, '^%d+$') or '') or us
if tat < us or tat > us + burst + longest + emission then tat = us end   -- nobody of ours has set that
local wait = math.max(tat - us - burst, 0)
if wait <= longest then
  tat = tat + emission
  redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - us) / 1000) + 1000)
end
return wait
