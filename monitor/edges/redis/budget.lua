-- Reserves rows of a model's budget, for all workers together.
--
-- KEYS[1]  when the rows reserved so far are used up, epoch us.   ARGV  rows, rows a second, rows at once
-- Returns  microseconds to wait until the rows may be sent.
--
-- The bucket as a time (Turner 1986, the virtual scheduling of cells): what is reserved moves it on, and rows may be
-- sent once it is no further ahead than the bucket holds. A key that is gone, after a pause or a failover, begins
-- with an empty bucket.

local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local rate, held_us = tonumber(ARGV[2]), ARGV[3] / ARGV[2] * 1000000
local until_us = tonumber(redis.call('GET', KEYS[1]) or now_us + held_us)
until_us = math.max(until_us, now_us) + ARGV[1] / rate * 1000000
local left_ms = math.ceil((until_us - now_us) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', until_us), 'PX', string.format('%.0f', left_ms + 60000))
return string.format('%.0f', math.max(0, math.ceil(until_us - held_us - now_us)))
