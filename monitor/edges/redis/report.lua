-- Records what a worker says of itself, with the store's own time, and forgets workers long gone.
--
-- KEYS[1]  the hash of workers.   ARGV  worker, report ('' when it leaves), keep_ms

if ARGV[2] == '' then
  return redis.call('HDEL', KEYS[1], ARGV[1])
end
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local said_ms = tonumber(string.match(all[i + 1], '^(%d+):'))
  if not said_ms or said_ms < now_ms - tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:', now_ms) .. ARGV[2])
