-- Counts records that were deleted before they were read. The same loss may be told again, also after more was
-- deleted: what is told of one fence counts once.
--
-- KEYS[1]  the hash of losses.   ARGV  partition, fence, earliest
-- Returns  records lost of the partition ever

local fence, earliest = tonumber(ARGV[2]), tonumber(ARGV[3])
local total, last_fence, last_earliest = 0, -1, -1
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local a, b, c = string.match(known, '^(%d+):(%-?%d+):(%-?%d+):')
  total, last_fence, last_earliest = tonumber(a), tonumber(b), tonumber(c)
end
if fence == last_fence then
  if earliest <= last_earliest then
    return total
  end
  total = total + earliest - last_earliest
else
  total = total + earliest - fence
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:%.0f:%.0f:%.0f', total, fence, earliest, now_ms))
return total
