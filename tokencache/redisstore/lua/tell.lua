-- Stores a token that was minted under a lease, unless there is a newer one.
-- KEYS: t l v    ARGV: 1 lease id  2 value  3 the token's end, server ms  4 guard ms
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local left = tonumber(ARGV[3]) - ms                       -- absolute: however late this arrives, no life is added
local mine = redis.pcall('GET', KEYS[2]) == ARGV[1]
if left < 5000 then if mine then redis.call('DEL', KEYS[2]) end return 'late' end
local cur = redis.pcall('GETRANGE', KEYS[1], 0, 12)
if type(cur) == 'string' then
  local born = tonumber(string.match(cur, '^%d+$') or '')
  if born and born >= tonumber(string.sub(ARGV[2], 1, 13)) and born <= ms + 60000 then   -- newest wins, the future does not count
    if mine then redis.call('DEL', KEYS[2]) end return 'older'
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', left)
redis.call('DEL', KEYS[3])
if mine then redis.call('SET', KEYS[2], 'done', 'PX', ARGV[4]) end   -- a second between two mints of a grant, fleet-wide
return 'stored'
