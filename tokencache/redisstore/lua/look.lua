-- Gives the record under a name. KEYS: i
local t = redis.call('TIME')
return {'there', t[1] * 1000 + math.floor(t[2] / 1000), redis.call('GETRANGE', KEYS[1], 0, 65535)}
