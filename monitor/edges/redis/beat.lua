-- Records what owners report of their partitions, and when it was so by the store's own time.
--
-- KEYS[1]  the hash of beats.   ARGV  partition, 'POSITION:END', AGE_MS of the end, partition, ...

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #ARGV, 3 do
  local at_ms = string.format('%.0f', now_ms - tonumber(ARGV[i + 2]))
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. at_ms)
end
return 1
