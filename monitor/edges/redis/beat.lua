-- Records what owners report of their partitions, with the store's own time.
--
-- KEYS[1]  the hash of beats.   ARGV  partition, 'POSITION:END', partition, 'POSITION:END', ...

local time = redis.call('TIME')
local now_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
for i = 1, #ARGV, 2 do
  redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. ':' .. now_ms)
end
return 1
