-- Takes or renews a model's lease.
--
-- KEYS[1]  the lease, KEYS[2]  the epoch of the last grant.   ARGV  owner, ttl_ms
-- Returns  the epoch while the owner holds the lease, else 0.
--
-- Epochs follow the clock, so that one forgotten in a failover is not given twice.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 0
end
local epoch = tonumber(redis.call('GET', KEYS[2]) or '0')
if not holder then
  local time = redis.call('TIME')
  epoch = math.max(epoch + 1, time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('SET', KEYS[2], string.format('%.0f', epoch))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return epoch
