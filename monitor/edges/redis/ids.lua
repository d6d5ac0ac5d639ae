-- Ids of names in an append-only registry, made where new.
--
-- A value is ID:CHAIN, where CHAIN is a digest of all names up to this id. Whoever knows the value of the
-- greatest id it was given can tell, by one look-up, that nothing below it was forgotten and given again.
--
-- KEYS[1]  the registry hash.
-- ARGV[1]  the most ids to give; ARGV[2]  msgpack {names, known}, where known is a flat list of
--          name, value that copies in other shards hold and this one may have lost.
-- Returns  the value of each name, '' past the limit.

local request = cmsgpack.unpack(ARGV[2])
local names, known = request[1], request[2]
local limit = tonumber(ARGV[1])
local LAST = '' -- the field that holds the greatest value given; no name is empty

local last = redis.call('HGET', KEYS[1], LAST) or '0:'
local function number(value)
  return tonumber(string.match(value, '^%d+'))
end
for i = 1, #known, 2 do
  redis.call('HSETNX', KEYS[1], known[i], known[i + 1])
  if number(known[i + 1]) > number(last) then
    last = known[i + 1]
  end
end
local answer = {}
for i, name in ipairs(names) do
  local value = redis.call('HGET', KEYS[1], name)
  if not value and number(last) < limit then
    value = (number(last) + 1) .. ':' .. string.sub(redis.sha1hex(last .. name), 1, 12)
    redis.call('HSET', KEYS[1], name, value)
    last = value
  end
  answer[i] = value or ''
end
if last ~= '0:' then
  redis.call('HSET', KEYS[1], LAST, last)
end
return answer
