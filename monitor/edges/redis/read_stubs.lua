-- Reads stubs in the live generations, newest first.
--
-- KEYS[1]  the shard's fence hash, for its slot only; KEYS[2], KEYS[3] as in flush.lua.
-- ARGV[1]  msgpack {base, half_ms, {part, how many, part, ...}, bytes of an id, ids end to end}
-- Returns  msgpack {{place}, {generation}, {value}} of the stubs that are there; a place counts from 0 in the
--          order given. One text is read faster than thousands of values.

local STEP = 7000
local LIVE = 3

local request = cmsgpack.unpack(ARGV[1])
local base, half_ms = request[1], request[2]
local time = redis.call('TIME')
local present = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / half_ms)

local places, generations, values = {}, {}, {}
local filled, found_count = 0, 0
local cuts, size, joined = request[3], request[4], request[5]
local from = 1
for cut = 1, #cuts, 2 do
  local part, ids, taken = cuts[cut], {}, {}
  for i = 1, cuts[cut + 1] do
    ids[i] = string.sub(joined, from, from + size - 1)
    from = from + size
  end
  for generation = present + 1, present - LIVE + 1, -1 do
    local key = base .. string.format('%.0f', generation) .. ':' .. part
    if redis.call('EXISTS', key) == 1 then
      for i = 1, #ids, STEP do
        local found = redis.call('HMGET', key, unpack(ids, i, math.min(i + STEP - 1, #ids)))
        for j, value in ipairs(found) do
          local at = i + j - 1
          if value and not taken[at] then
            taken[at] = true
            found_count = found_count + 1
            places[found_count] = filled + at - 1
            generations[found_count] = generation
            values[found_count] = value
          end
        end
      end
    end
  end
  filled = filled + #ids
end
return cmsgpack.pack({ places, generations, values })
