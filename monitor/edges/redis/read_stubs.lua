-- Reads stubs in the live generations, newest first.
--
-- KEYS[1]  the shard's fence hash, for its slot only.
-- ARGV[1]  msgpack {base, half_ms, {{part, {id}}}}
-- Returns  flat {generation, value} per id in the order given; generation -1 where absent.

local STEP = 7000
local LIVE = 3

local request = cmsgpack.unpack(ARGV[1])
local base, half_ms = request[1], request[2]
local time = redis.call('TIME')
local present = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / half_ms)

local answer, filled = {}, 0
for _, group in ipairs(request[3]) do
  local part, ids = group[1], group[2]
  for i = 1, #ids do
    answer[filled + 2 * i - 1] = -1
    answer[filled + 2 * i] = ''
  end
  for generation = present + 1, present - LIVE + 1, -1 do
    local key = base .. string.format('%.0f', generation) .. ':' .. part
    if redis.call('EXISTS', key) == 1 then
      for i = 1, #ids, STEP do
        local found = redis.call('HMGET', key, unpack(ids, i, math.min(i + STEP - 1, #ids)))
        for j, value in ipairs(found) do
          local slot = filled + 2 * (i + j - 1)
          if value and answer[slot - 1] == -1 then
            answer[slot - 1] = generation
            answer[slot] = value
          end
        end
      end
    end
  end
  filled = filled + 2 * #ids
end
return answer
