-- Gives the token of a grant, or the right to mint it, or says who else does.
-- KEYS: t l v c g w
-- ARGV: 1 have (mark)  2 refused 0/1  3 lease id, '' = only look  4 lease ms  5 emission us  6 burst us  7 most burst us
--       8 verdict to ignore  9 pause to ignore  10 force 0/1  11 end of the question, server ms, 0 = unknown
local t = redis.call('TIME')
local us = t[1] * 1000000 + t[2]
local ms = math.floor(us / 1000)
local function get(key, most)
  local v = redis.pcall('GETRANGE', key, 0, most)     -- bounded, whatever is there
  if type(v) ~= 'string' then redis.call('DEL', key) return '' end   -- WRONGTYPE
  return v
end
local function verdict(key)
  local v = get(key, 511)
  local left = redis.call('PTTL', key)
  if v ~= '' and (left < 0 or left > 60000) then redis.call('DEL', key) return '', 0 end   -- none of ours
  return v, left
end
local tok = get(KEYS[1], 12287)
if tok ~= '' and ARGV[1] == string.sub(tok, 1, 25) then   -- compare ...
  if ARGV[2] == '1' then redis.call('DEL', KEYS[1]) end   -- ... and swap
  tok = ''
end
if tok ~= '' then return {'token', ms, tok, redis.call('PTTL', KEYS[1])} end
-- The lease comes before what the endpoint said. Where one replica has heard that, another is trying, and the crowd
-- would ask twice each time: with the verdict, and without it.
local held = redis.call('PTTL', KEYS[2])
if held > 0 and held <= 2500 and ARGV[10] ~= '1' then     -- ours are never longer; no TTL is no lease
  local n = redis.pcall('INCR', KEYS[6])
  if type(n) ~= 'number' then redis.call('DEL', KEYS[6]) n = 1 end
  local lasts = redis.call('PTTL', KEYS[6])
  if lasts < 0 or lasts > 2000 then redis.call('PEXPIRE', KEYS[6], 2000) end
  return {'busy', ms, '', math.max(100, math.min(100 + math.floor(n / 15), 600))}   -- the more ask, the rarer they shall
end
local v, left = verdict(KEYS[3])
if v ~= '' and v ~= ARGV[8] then return {'verdict', ms, v, left} end
local c, pause = verdict(KEYS[4])
if c ~= '' and c ~= ARGV[9] then return {'pause', ms, c, pause} end
if ARGV[3] == '' then return {'free', ms, '', 0} end
if ARGV[11] ~= '0' and ms > tonumber(ARGV[11]) then return {'late', ms, '', 0} end   -- whoever asked has gone
local emission, burst, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
if emission > 0 then                                      -- GCRA
  local tat = tonumber(string.match(get(KEYS[5], 31), '^%d+$') or '') or us   -- tonumber takes nan, 0x10 and 1e9 too
  if tat < us or tat > us + most + emission then tat = us end   -- nobody of ours has set that
  local wait = tat - us - burst
  if wait > 0 then return {'paced', ms, '', math.ceil(wait / 1000)} end
  tat = tat + emission
  redis.call('SET', KEYS[5], string.format('%.0f', tat), 'PX', math.ceil((tat - us) / 1000) + 1000)
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return {'claimed', ms, '', 0}
