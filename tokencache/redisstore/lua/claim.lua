-- Puts a pending record under a name that is free, or in the place of one claim's.
-- KEYS: i    ARGV: 1 claim  2 the claim whose record may be replaced  3 sealed record  4 lapse ms  5 ttl ms
--            6 end of the question, server ms, 0 = unknown
-- A record begins with its state, its claim (32 hex digits) and, in 13 digits, when it lapses.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local head = redis.call('GETRANGE', KEYS[1], 0, 45)       -- WRONGTYPE is an error: what is there is kept, and nothing is sent
if head ~= '' then
  local claim = string.sub(head, 2, 33)
  if claim == ARGV[1] then return {'mine', ms, ''} end    -- asked twice
  if claim ~= ARGV[2] or string.sub(head, 1, 1) == 'a' then   -- 'a': it was found delivered, and that has been taken back
    return {'there', ms, redis.call('GETRANGE', KEYS[1], 0, 65535)}
  end
end
if ARGV[6] ~= '0' and ms > tonumber(ARGV[6]) then return {'late', ms, ''} end   -- whoever asked has gone, and will not send it
redis.call('SET', KEYS[1], 'p' .. ARGV[1] .. string.format('%013.0f', ms + ARGV[4]) .. ARGV[3], 'PX', ARGV[4] + ARGV[5])
return {'mine', ms, ''}
