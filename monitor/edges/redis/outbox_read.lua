-- The oldest entries of an outbox, for the one worker that publishes it.
--
-- KEYS[1]  the outbox, KEYS[2]  its publisher.   ARGV  owner, lease_ms, count
-- Returns  entries; none while another worker publishes.

local publisher = redis.call('GET', KEYS[2])
if publisher and publisher ~= ARGV[1] then
  return {}
end
if redis.call('XLEN', KEYS[1]) == 0 then
  return {}
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', ARGV[3])
