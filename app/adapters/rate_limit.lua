-- A hit in a moving window: whether it is within the limit, and how full the window is.
-- KEYS[1]: a list of the times of hits that were let through, the newest first.
-- ARGV: now and the window's length, in seconds; the limit.
-- Gives one text, the cheapest to read: 1 or 0, hits in the window, the time of the oldest of them.
local now, window, limit = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local begins = now - window

local last = redis.call('lindex', KEYS[1], limit - 1)
local allowed = 0
if not last or tonumber(last) < begins then
    redis.call('lpush', KEYS[1], ARGV[1])
    redis.call('ltrim', KEYS[1], 0, limit - 1)
    redis.call('expire', KEYS[1], window)
    allowed = 1
end

-- The oldest that is still in the window, by halving.
local low, high, count, oldest = 0, redis.call('llen', KEYS[1]) - 1, 0, ARGV[1]
while low <= high do
    local middle = math.floor((low + high) / 2)
    local at = redis.call('lindex', KEYS[1], middle)
    if tonumber(at) >= begins then
        count, oldest, low = middle + 1, at, middle + 1
    else
        high = middle - 1
    end
end
return allowed .. ' ' .. count .. ' ' .. oldest
