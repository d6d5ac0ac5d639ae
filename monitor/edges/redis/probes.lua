-- Adds what probes found: cells of the present buckets, samples, and the worst cases.
--
-- KEYS[1]  the last sequence of this prober, KEYS[2]  the worst cases; every other key shares their hash tag;
-- KEYS[3], KEYS[4]  as in flush.lua
-- ARGV[1]  msgpack {sequence, keep_ms, checks, arrays, evidence, {cases, cases_max, each_max, keep_ms}}
-- Returns  'ok', 'already' where this sequence was added before (a lost reply), or 'forgotten' where the registry is
--          not what the ids are of
--
-- Buckets are of the server's clock, read here: once a bucket has ended nothing is added to it.

local sequence, keep_ms, checks, arrays, evidence, worst = unpack(cmsgpack.unpack(ARGV[1]))

if tonumber(redis.call('GET', KEYS[1]) or '-1') >= sequence then
  return 'already'
end
for _, check in ipairs(checks) do
  if redis.call('HGET', check[1], check[2]) ~= check[3] then
    return 'forgotten'
  end
end

local time = redis.call('TIME')
local now_s = tonumber(time[1])
-- First what a full Redis refuses, while nothing has changed yet.
redis.call('SET', KEYS[1], string.format('%.0f', sequence), 'PX', keep_ms)

for _, item in ipairs(arrays) do -- {prefix, suffix, bucket_s, ttl_ms, width, cells, amounts}
  local key = item[1] .. string.format('%.0f', now_s - now_s % item[3]) .. item[2]
  local existed = redis.call('EXISTS', key)
  local cells, amounts = item[6], item[7]
  local step = 1700
  for i = 1, #cells, step do
    local call = { 'OVERFLOW', 'SAT' }
    for j = i, math.min(i + step - 1, #cells) do
      local n = #call
      call[n + 1], call[n + 2], call[n + 3], call[n + 4] = 'INCRBY', item[5], '#' .. cells[j], amounts[j]
    end
    redis.call('BITFIELD', key, unpack(call))
  end
  if existed == 0 then
    redis.call('PEXPIRE', key, item[4])
  end
end

for _, item in ipairs(evidence) do -- {list, cap, ttl_ms, {sample}}
  redis.call('LPUSH', item[1], unpack(item[4]))
  redis.call('LTRIM', item[1], 0, item[2] - 1)
  redis.call('PEXPIRE', item[1], item[3])
end

-- Worst cases: {id, rank, group, value}; the greatest ranks stay, so many of a group, and none for ever.
local cases, cases_max, each_max, case_keep_ms = worst[1], worst[2], worst[3], worst[4]
if #cases == 0 then
  return 'ok'
end
for _, case in ipairs(cases) do
  redis.call('HSET', KEYS[2], case[1], cmsgpack.pack({ case[2], case[3], now_s, case[4] }))
end
redis.call('PEXPIRE', KEYS[2], case_keep_ms)
local held = redis.call('HGETALL', KEYS[2])
local order = {}
for i = 1, #held, 2 do
  local entry = cmsgpack.unpack(held[i + 1])
  order[#order + 1] = { held[i], entry[1], entry[2], entry[3] }
end
table.sort(order, function(a, b) return a[2] > b[2] end)
local kept, of_group = 0, {}
for _, entry in ipairs(order) do
  local had = of_group[entry[3]] or 0
  if kept >= cases_max or had >= each_max or (now_s - entry[4]) * 1000 > case_keep_ms then
    redis.call('HDEL', KEYS[2], entry[1])
  else
    kept, of_group[entry[3]] = kept + 1, had + 1
  end
end
return 'ok'
