-- Replaces an evaluator's state if its lease and sequence still hold.
--
-- KEYS[1]  epoch, KEYS[2]  state, KEYS[3]  alerts, KEYS[4]  outbox, KEYS[5]  outbox dropped
-- ARGV[1]  msgpack {lease_epoch, expected_sequence, state, {{key, value}}, {identity, alert, ...}, outbox_max}
-- Returns  1 when the state is the new one (a repeat after a lost reply included), else 0.

local request = cmsgpack.unpack(ARGV[1])
local lease_epoch, expected, state, outbox, alerts, cap =
  request[1], request[2], request[3], request[4], request[5], request[6]

local epoch = tonumber(redis.call('GET', KEYS[1]) or '0')
local stored = redis.call('HMGET', KEYS[2], 'sequence', 'state')
local sequence = tonumber(stored[1] or '0')
if epoch ~= lease_epoch then
  return 0
end
if sequence == expected + 1 and stored[2] == state then
  return 1
end
if sequence ~= expected then
  return 0
end

redis.call('HSET', KEYS[2], 'sequence', string.format('%.0f', expected + 1), 'state', state)
for i = 1, #alerts, 2 do
  redis.call('HSET', KEYS[3], alerts[i], alerts[i + 1])
end
for _, record in ipairs(outbox) do
  redis.call('XADD', KEYS[4], '*', 'kind', 'alerts', 'key', record[1], 'value', record[2])
end
-- The newest transitions matter most: the oldest fall.
local fallen = redis.call('XTRIM', KEYS[4], 'MAXLEN', cap)
if fallen > 0 then
  redis.call('INCRBY', KEYS[5], fallen)
end
return 1
