-- Ends a lease without a token: the mint failed, or the lease is given back.
-- KEYS: l v-or-c    ARGV: 1 lease id  2 guard ms (0 = give back)  3 verdict or ''  4 verdict ms
if redis.pcall('GET', KEYS[1]) == ARGV[1] then
  if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], 'failed', 'PX', ARGV[2]) else redis.call('DEL', KEYS[1]) end
end
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
return 'ok'
