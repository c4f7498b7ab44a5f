"""The limiter's books and decisions as one Lua script: it runs whole and alone, so many replicas cannot over-grant.

A scope's book is a hash:
    <bucket number>   units granted in this sixtieth of the window
    f, s              units that the platform counted and we did not, and when it said so (ms); they fade evenly
    b                 blocked until (ms)
    l                 limit with which the platform's last answer was read; a take with a lower one goes by it
A grant counts for at least a whole window: its bucket falls out when it is more than 60 buckets old. So no rolling
window ever holds more of our own grants than the limit. All times are the server's. Every key expires.

Verbs (ARGV[1]):
    take     ceiling, fair_after, organization or '', then limit, window_ms, units (0: is it blocked?) per scope
             KEYS: a book per scope; with an organization also, per scope, the set of organizations and its own book
             -> {1, 0, 0, 0, '', used per scope} or {0, scope number, retry_ms, units free, reason, used per scope}
    observe  limit, window_ms, used_fraction, regain_ms       -> {units that others used}
    block    window_ms, for_ms                                -> {ms that the block lasts}
    carry    window_ms, units, blocked_for_ms                 -> {units on the book}
"""

from typing import Final

BUCKETS: Final = 60

SCRIPT: Final = (
    f"local BUCKETS = {BUCKETS}\n"
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function text(number) return string.format('%.0f', number) end

local function read(key, window)
  local book = {key = key, window = window, width = math.ceil(window / BUCKETS), own = 0, foreign = 0, blocked = 0}
  book.limit = 0
  book.current = math.floor(now / book.width)
  book.buckets = {}
  local flat, said, seen, old = redis.call('HGETALL', key), 0, 0, {}
  for i = 1, #flat, 2 do
    local field, value = flat[i], tonumber(flat[i + 1])
    if field == 'f' then said = value
    elseif field == 's' then seen = value
    elseif field == 'b' then book.blocked = value
    elseif field == 'l' then book.limit = value
    elseif tonumber(field) + BUCKETS < book.current then old[#old + 1] = field
    else
      book.own = book.own + value
      book.buckets[#book.buckets + 1] = {tonumber(field), value}
    end
  end
  if #old > 0 then redis.call('HDEL', key, unpack(old)) end
  book.left = math.max(0, window - math.max(0, now - seen))
  book.said = said
  book.foreign = said * book.left / window
  book.used = book.own + book.foreign
  return book
end

local function keep(book)
  local for_ms = math.max(book.window + 2 * book.width, book.blocked - now + 1000)
  redis.call('PEXPIRE', book.key, text(for_ms))
end

local function add(book, units)
  redis.call('HINCRBY', book.key, text(book.current), text(units))
  keep(book)
end

local function block(book, for_ms)
  if for_ms > 0 and now + for_ms > book.blocked then
    book.blocked = now + for_ms
    redis.call('HSET', book.key, 'b', text(book.blocked))
  end
  keep(book)
end

-- When the book will have room again: as its own buckets fall out, or as what others used fades, whichever is sooner.
local function wait(book, room_needed)
  local best = book.window
  local freed = 0
  table.sort(book.buckets, function(one, two) return one[1] < two[1] end)
  for _, bucket in ipairs(book.buckets) do
    freed = freed + bucket[2]
    if freed >= room_needed then
      best = (bucket[1] + BUCKETS + 1) * book.width - now
      break
    end
  end
  if book.foreign >= room_needed and book.said > 0 then
    best = math.min(best, room_needed * book.window / book.said)
  end
  return math.max(1, math.ceil(best))
end

local function take()
  local ceiling, fair_after, organization = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
  local count = (#ARGV - 4) / 3
  local scopes, used, refused = {}, {}, nil
  local function refuse(number, retry, free, reason)
    if refused == nil or retry > refused[3] then refused = {0, number, retry, math.max(0, math.floor(free)), reason} end
  end
  for number = 1, count do
    local at = 4 + (number - 1) * 3
    local limit, window, units = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local book = read(KEYS[number], window)
    local scope = {book = book, units = units}
    scopes[number] = scope
    used[number] = tostring(book.used)
    local cap = math.floor(math.max(limit, book.limit) * ceiling)
    local over = book.used + units - cap
    if book.blocked > now then
      refuse(number, book.blocked - now, 0, 'blocked')
    elseif units > 0 and over > 0 then
      refuse(number, wait(book, over), cap - book.used, 'used_up')
    end
    if units > 0 and organization ~= '' then
      local everybody = KEYS[count + number * 2 - 1]
      redis.call('ZREMRANGEBYSCORE', everybody, '-inf', text(now - window))
      redis.call('ZADD', everybody, text(now), organization)
      redis.call('PEXPIRE', everybody, text(window))
      scope.share = read(KEYS[count + number * 2], window)
      local fair = math.floor(cap / redis.call('ZCARD', everybody))
      local beyond = scope.share.own + units - fair
      if beyond > 0 and book.used + units > cap * fair_after then
        refuse(number, wait(scope.share, beyond), fair - scope.share.own, 'fair_share')
      end
    end
  end
  local answer = refused or {1, 0, 0, 0, ''}
  for number, scope in ipairs(scopes) do
    if refused == nil and scope.units > 0 then
      add(scope.book, scope.units)
      if scope.share then add(scope.share, scope.units) end
      used[number] = tostring(scope.book.used + scope.units)
    end
    answer[#answer + 1] = used[number]
  end
  return answer
end

local verb = ARGV[1]
if verb == 'take' then return take() end

if verb == 'observe' then
  local limit, window, fraction, regain = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local book = read(KEYS[1], window)
  local others = math.max(0, fraction * limit - book.own)
  redis.call('HSET', KEYS[1], 'f', string.format('%.3f', others), 's', text(now), 'l', text(limit))
  block(book, regain)
  return {tostring(others)}
end

local book = read(KEYS[1], tonumber(ARGV[2]))
if verb == 'block' then
  block(book, tonumber(ARGV[3]))
  return {text(math.max(0, book.blocked - now))}
end
if verb == 'carry' then
  if tonumber(ARGV[3]) > 0 then add(book, tonumber(ARGV[3])) end
  block(book, tonumber(ARGV[4]))
  return {tostring(book.own + tonumber(ARGV[3]))}
end
return redis.error_reply('unknown verb')
"""
)
