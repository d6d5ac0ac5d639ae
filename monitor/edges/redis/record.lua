-- Records facts that are fixed at first start, and answers what is on record.
--
-- KEYS[1]  a hash.   ARGV  field, value, field, value, ...
-- Returns  the values on record, in the order of the fields.
--
-- An empty value is none: brokers that were upgraded since have ids of topics.

local answer = {}
for i = 1, #ARGV, 2 do
  local there = redis.call('HGET', KEYS[1], ARGV[i])
  if not there or there == '' then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    there = ARGV[i + 1]
  end
  answer[#answer + 1] = there
end
return answer
