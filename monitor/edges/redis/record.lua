-- Records facts that are fixed at first start, and answers what is on record.
--
-- KEYS[1]  a hash.   ARGV  field, value, field, value, ...
-- Returns  the values on record, in the order of the fields.

local answer = {}
for i = 1, #ARGV, 2 do
  redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1])
  answer[#answer + 1] = redis.call('HGET', KEYS[1], ARGV[i])
end
return answer
