-- Applies one flush to one shard, whole or not at all.
--
-- KEYS[1]  the shard's fence hash; every other key shares its hash tag.
-- KEYS[2], KEYS[3]  never exist: what refuses this script while the slot moves (keys.py, `settled`).
-- ARGV[1]  msgpack, built by payload.py:
--          {field, expected, start, next, watermark_ms, checks, stubs, creates, adds, retracts,
--           index, dead_letters, evidence, rankings, columns}
-- Returns  {outcome, stored offset, stub keys in conflict}; outcomes as in ports.Outcome, and 'forgotten'
--          when the registry is not what the flush was built with
--
-- A script does not roll back, so every check comes before the first write, and the first write is one
-- that a full Redis refuses (OOM is reported while nothing has changed yet). The fence moves last.

local STEP = 7000 -- unpack() fails somewhat above 8,000 values
local LIVE = 3

local flush = cmsgpack.unpack(ARGV[1])
local field, expected, start, next_offset, watermark = flush[1], flush[2], flush[3], flush[4], flush[5]
local checks, stubs, creates, adds, retracts = flush[6], flush[7], flush[8], flush[9], flush[10]
local index, dead_letters, evidence, rankings, columns = flush[11], flush[12], flush[13], flush[14], flush[15]

-- 1. The fence.
local fence = redis.call('HGET', KEYS[1], field)
if not fence then
  return { 'lost', -1, {} }
end
local offset_text, watermark_text = string.match(fence, '^(%-?%d+):(%-?%d+)$')
local stored, stored_watermark = tonumber(offset_text), tonumber(watermark_text)
if next_offset <= stored then
  return { 'already', stored, {} }
elseif stored > expected then
  return { 'ahead', stored, {} }
elseif stored < expected or start > stored then
  return { 'behind', stored, {} }
end

-- 2. The ids this flush was built with are still the registry's (a rollback may have forgotten some).
for _, check in ipairs(checks) do
  if redis.call('HGET', check[1], check[2]) ~= check[3] then
    return { 'forgotten', stored, {} }
  end
end

-- 3. The stubs are still what the worker saw. Columns of stubs come end to end, by part: they become groups.
local function pieces(joined, size, first, count)
  local found = {}
  local at = first * size + 1
  for i = 1, count do
    found[i] = string.sub(joined, at, at + size - 1)
    at = at + size
  end
  return found
end

for _, column in ipairs(columns) do
  local base, half_ms, generation, cuts = column[1], column[2], column[3], column[4]
  local first = 0
  for i = 1, #cuts, 2 do
    local part, count = cuts[i], cuts[i + 1]
    local seen = generation < 0 and {} or pieces(column[8], column[7], first, count)
    stubs[#stubs + 1] = {
      base, half_ms, generation, part, pieces(column[6], column[5], first, count), seen,
      pieces(column[10], column[9], first, count), false,
    }
    first = first + count
  end
end

local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function name(base, generation, part)
  return base .. string.format('%.0f', generation) .. ':' .. part
end

local function values(key, fields)
  if #fields <= STEP then
    return redis.call('HMGET', key, unpack(fields))
  end
  local all = {}
  for i = 1, #fields, STEP do
    for _, value in ipairs(redis.call('HMGET', key, unpack(fields, i, math.min(i + STEP - 1, #fields)))) do
      all[#all + 1] = value
    end
  end
  return all
end

local conflicts = {}
for _, group in ipairs(stubs) do
  local base, half_ms, generation, part, fields, seen = group[1], group[2], group[3], group[4], group[5], group[6]
  local present = math.floor(now_ms / half_ms)
  if generation < 0 then
    -- Absent everywhere. One generation ahead too: a failover may bring a clock that lags.
    for g = present + 1, present - LIVE + 1, -1 do
      local key = name(base, g, part)
      if redis.call('EXISTS', key) == 1 then
        for i, value in ipairs(values(key, fields)) do
          if value then
            conflicts[#conflicts + 1] = fields[i]
          end
        end
      end
    end
  elseif generation > present + 1 or generation < present - LIVE + 1 then
    for _, id in ipairs(fields) do
      conflicts[#conflicts + 1] = id
    end
  else
    for i, value in ipairs(values(name(base, generation, part), fields)) do
      if value ~= seen[i] then
        conflicts[#conflicts + 1] = fields[i]
      end
    end
  end
end
if #conflicts > 0 then
  return { 'conflict', stored, conflicts }
end

-- 4. Stubs. A known one stays in its generation; a new one enters the present, as does a renewed one. Its older
-- self goes: whoever has read it must find that it is no longer what was seen. Some were only checked.
for _, group in ipairs(stubs) do
  local base, half_ms, generation, part, fields, fresh = group[1], group[2], group[3], group[4], group[5], group[7]
  local present = math.floor(now_ms / half_ms)
  local enters = generation < 0 or group[8]
  local key = name(base, enters and present or generation, part)
  local step = STEP / 2
  for i = 1, #fresh, step do
    local pairs_ = {}
    for j = i, math.min(i + step - 1, #fresh) do
      pairs_[#pairs_ + 1] = fields[j]
      pairs_[#pairs_ + 1] = fresh[j]
    end
    redis.call('HSET', key, unpack(pairs_))
  end
  if group[8] and generation >= 0 and generation ~= present then
    local left = name(base, generation, part)
    for i = 1, #fields, STEP do
      redis.call('HDEL', left, unpack(fields, i, math.min(i + STEP - 1, #fields)))
    end
  end
  if enters then
    -- The generation that just died is freed off the main thread; the expiry is for a model gone quiet.
    redis.call('UNLINK', name(base, present - LIVE, part))
    local dies_ms = (present + LIVE) * half_ms + math.min(half_ms, 60000)
    redis.call('PEXPIREAT', key, string.format('%.0f', dies_ms))
  end
end

-- 5. Counters. Sums are never read here: a Lua number holds 53 bits of their 64.
local at = setmetatable({}, {
  __index = function(known, cell)
    local text = '#' .. cell
    known[cell] = text
    return text
  end,
})

local function add(key, width, cells, amounts)
  local step = 1700
  for i = 1, #cells, step do
    local call = { 'OVERFLOW', 'SAT' }
    local n = 2
    for j = i, math.min(i + step - 1, #cells) do
      call[n + 1] = 'INCRBY'
      call[n + 2] = width
      call[n + 3] = at[cells[j]]
      call[n + 4] = amounts[j]
      n = n + 4
    end
    redis.call('BITFIELD', key, unpack(call))
  end
end

for _, item in ipairs(creates) do -- {key, width, cells, amounts, ttl_ms}
  local existed = redis.call('EXISTS', item[1])
  add(item[1], item[2], item[3], item[4])
  if existed == 0 then
    redis.call('PEXPIRE', item[1], item[5])
  end
end
-- {key, width, cells, amounts, guard, shorter_ms}: a bucket that expired stays gone. What only labels add to
-- begins while its guard lives, and ends with it.
for _, item in ipairs(adds) do
  if redis.call('EXISTS', item[1]) == 1 then
    add(item[1], item[2], item[3], item[4])
  elseif item[5] then
    local left_ms = redis.call('PTTL', item[5]) - item[6]
    if left_ms > 0 then
      add(item[1], item[2], item[3], item[4])
      redis.call('PEXPIRE', item[1], left_ms)
    end
  end
end
for _, item in ipairs(retracts) do -- {twin, width, cells, amounts, plain}
  local left_ms = redis.call('PTTL', item[5])
  if left_ms ~= -2 then
    local existed = redis.call('EXISTS', item[1])
    add(item[1], item[2], item[3], item[4])
    if existed == 0 and left_ms > 0 then
      redis.call('PEXPIRE', item[1], left_ms)
    end
  end
end

-- Rankings {key, guard, rows, bytes_max, shorter_ms}: appended while the guard lives and the rows are few.
-- Past the bound one byte remains, which no row is: closed for good.
for _, item in ipairs(rankings) do
  local left_ms = redis.call('PTTL', item[2]) - item[5]
  local length = redis.call('STRLEN', item[1])
  if left_ms > 0 and length ~= 1 then
    if length + #item[3] <= item[4] then
      redis.call('APPEND', item[1], item[3])
    else
      redis.call('SET', item[1], '-', 'KEEPTTL')
    end
    if length == 0 then
      redis.call('PEXPIRE', item[1], left_ms)
    end
  end
end

-- 6. Which buckets have traffic; those whose counters expired leave.
for _, item in ipairs(index) do -- {key, {bucket_s}, ttl_ms, prefix, suffix}
  local key = item[1]
  for _, bucket in ipairs(item[2]) do
    redis.call('ZADD', key, bucket, bucket)
  end
  for _, first in ipairs(redis.call('ZRANGE', key, 0, 49)) do
    if redis.call('EXISTS', item[4] .. first .. item[5]) == 1 then
      break
    end
    redis.call('ZREM', key, first)
  end
  if redis.call('PTTL', key) < item[3] then
    redis.call('PEXPIRE', key, item[3])
  end
end

-- 7. Dead letters {outbox, dropped, cap, {record}} and evidence {list, cap, ttl_ms, {sample}}, bounded.
if #dead_letters > 0 then
  local room = dead_letters[3] - redis.call('XLEN', dead_letters[1])
  for i, record in ipairs(dead_letters[4]) do
    if i > room then
      redis.call('INCRBY', dead_letters[2], #dead_letters[4] - math.max(room, 0))
      break
    end
    redis.call('XADD', dead_letters[1], '*', 'kind', 'dead_letters', 'key', '', 'value', record)
  end
end
for _, item in ipairs(evidence) do
  redis.call('LPUSH', item[1], unpack(item[4]))
  redis.call('LTRIM', item[1], 0, item[2] - 1)
  redis.call('PEXPIRE', item[1], item[3])
end

-- 8. The fence, last.
redis.call('HSET', KEYS[1], field, string.format('%.0f:%.0f', next_offset, math.max(stored_watermark, watermark)))
return { 'ok', next_offset, {} }
