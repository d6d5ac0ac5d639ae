-- Ids of names in an append-only registry, made where new.
--
-- A value is ID:CHAIN, where CHAIN is a digest of all names up to this id. Whoever knows the value of the
-- greatest id it was given can tell, by one look-up, that nothing up to it was forgotten and given again.
--
-- KEYS[1]  the registry hash.
-- ARGV[1]  the most ids to give; ARGV[2]  msgpack {names, known}, where known is a flat list of name, value,
--          by rising id, that others remember: what a failover forgot is restored if it still fits the chain.
-- Returns  the value of each name, '' past the limit; nil if what is known contradicts the registry.

local request = cmsgpack.unpack(ARGV[2])
local names, known = request[1], request[2]
local limit = tonumber(ARGV[1])
local LAST = '' -- the field that holds the greatest value given; no name is empty

local last = redis.call('HGET', KEYS[1], LAST) or '0:'

local function number(value)
  return tonumber(string.match(value, '^%d+'))
end

local function following(name)
  return (number(last) + 1) .. ':' .. string.sub(redis.sha1hex(last .. name), 1, 12)
end

local function append(name, value)
  redis.call('HSET', KEYS[1], name, value, LAST, value)
  last = value
end

for i = 1, #known, 2 do
  local value = redis.call('HGET', KEYS[1], known[i])
  if not value and known[i + 1] == following(known[i]) then
    append(known[i], known[i + 1])
  elseif value ~= known[i + 1] then
    return false
  end
end
local answer = {}
for i, name in ipairs(names) do
  local value = redis.call('HGET', KEYS[1], name)
  if not value and number(last) < limit then
    value = following(name)
    append(name, value)
  end
  answer[i] = value or ''
end
return answer
