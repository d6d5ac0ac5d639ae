-- Writes the start of partitions this shard has never seen. A registered one is left alone even if its
-- fence is missing: that is a loss to be reported, not a start.
--
-- KEYS[1]  the shard's fence hash, KEYS[2]  its set of registered partitions.
-- ARGV     partition, start, partition, start, ...

for i = 1, #ARGV, 2 do
  if redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then
    redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1] .. ':0')
    redis.call('SADD', KEYS[2], ARGV[i])
  end
end
return 1
