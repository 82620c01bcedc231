#!lua name=onhand_journal_v2
-- The steps that a journal server takes on a shard's journal as a whole, called with five keys under one hash tag:
--   keys[1]  the stream; an entry's id is <its last seq>-0, and its checksum is the first 16 bytes of its payload
--   keys[2]  the epoch: "<number> <server's time of the claim>" of the one writer that may append. It is compared as a
--            whole: after a failover to a replica that lags, the same number may be given out twice.
--   keys[3]  the tail: "<id> <checksum>" of the last entry appended. XINFO STREAM knows the id as well, but copies the
--            first and the last entry to say so, which more than doubles what appending a large entry costs.
--   keys[4]  the lease: "<number of the epoch> <address>" of the writer, gone when it was not renewed in time
--   keys[5]  the standbys: address → "<seq> <server's time, ms>"
-- Safety is in the epoch alone; the lease says when it is polite to take over.
-- The names carry the version: two releases at one server each call their own.

local NO_TAIL = '0-0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
local STANDBY_MS_MAX = 60000
-- Everybody waits while entries are dropped: about 10 ms for as many of 2.5 KB.
local TRIMMED_MAX = 20000

local function time_us()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local function epoch_of(keys)
  return redis.call('GET', keys[2]) or '0'
end

local function tail_of(keys)
  return redis.call('GET', keys[3]) or NO_TAIL
end

local function fenced(epoch)
  return redis.error_reply('FENCED epoch is ' .. epoch)
end

-- The tail, its checksum in hexadecimal: an error is a line of text.
local function gap(tail)
  local id, checksum = string.match(tail, '^(%S*) ?(.*)$')
  local digits = string.gsub(checksum, '.', function(byte) return string.format('%02x', string.byte(byte)) end)
  return redis.error_reply('GAP ' .. id .. ' ' .. digits)
end

local function last_generated_id(journal)
  if redis.call('EXISTS', journal) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', journal)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

-- What is in the journal: epoch, tail, the stream's own last id, and "<id> <checksum>" of its last entry ('' if none).
local function state_of(keys)
  local entry = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1]
  return {
    epoch_of(keys),
    tail_of(keys),
    last_generated_id(keys[1]),
    entry and entry[1] .. ' ' .. string.sub(entry[2][2], 1, 16) or '',
  }
end

-- Make the caller the one writer, unless another's lease lives. arguments: address, lease in ms, "wait" or "force".
-- SET is a write: its fsync makes durable whatever is read here, even what a server that crashed between write and fsync
-- left in the page cache.
local function claim(keys, arguments)
  local held = redis.call('GET', keys[4])
  if held and arguments[3] ~= 'force' then
    return redis.error_reply('HELD ' .. redis.call('PTTL', keys[4]) .. ' ' .. held)
  end
  local number = string.match(epoch_of(keys), '^%d+') + 1
  redis.call('SET', keys[2], string.format('%.0f %.0f', number, time_us()))
  redis.call('SET', keys[4], string.format('%.0f %s', number, arguments[1]), 'PX', arguments[2])
  redis.call('HDEL', keys[5], arguments[1])  -- it stands by no more
  return state_of(keys)
end

-- Keep the lease, or take it again if it ran out: the epoch says that nobody came between. arguments: epoch, address,
-- lease in ms.
local function renew(keys, arguments)
  local epoch = epoch_of(keys)
  if epoch ~= arguments[1] then return fenced(epoch) end
  redis.call('SET', keys[4], string.match(epoch, '^%d+') .. ' ' .. arguments[2], 'PX', arguments[3])
  return redis.status_reply('OK')
end

-- Give the lease back. arguments: epoch.
local function release(keys, arguments)
  if epoch_of(keys) == arguments[1] then redis.call('DEL', keys[4]) end
  return redis.status_reply('OK')
end

-- Say what is in the journal, once it is durable: writing the tail over itself forces the fsync, as in claim.
local function settle(keys)
  redis.call('SET', keys[3], tail_of(keys))
  return state_of(keys)
end

-- Append one entry. arguments: epoch, id, tail before it, payload.
local function append(keys, arguments)
  local epoch = epoch_of(keys)
  if epoch ~= arguments[1] then return fenced(epoch) end
  local tail = tail_of(keys)
  if tail ~= arguments[3] then return gap(tail) end
  local id
  if tail == NO_TAIL then
    id = redis.call('XADD', keys[1], arguments[2], 'entry', arguments[4])
  else
    -- A trimmed stream is still there and knows its last id; one that is gone is not begun anew in the middle.
    id = redis.call('XADD', keys[1], 'NOMKSTREAM', arguments[2], 'entry', arguments[4])
  end
  if not id then return redis.error_reply('GONE the stream is gone') end
  redis.call('SET', keys[3], id .. ' ' .. string.sub(arguments[4], 1, 16))
  return id
end

-- Drop entries before an id, a bounded number, and return how many; 0 once there are none. The writer alone may, as
-- another one's snapshot may need them. arguments: epoch, id.
local function trim(keys, arguments)
  local epoch = epoch_of(keys)
  if epoch ~= arguments[1] then return fenced(epoch) end
  local dropped = redis.call('XTRIM', keys[1], 'MINID', '~', arguments[2], 'LIMIT', TRIMMED_MAX)
  -- Only whole nodes can be dropped up to a limit; a node has 100 entries.
  if dropped < TRIMMED_MAX / 2 then
    dropped = dropped + redis.call('XTRIM', keys[1], 'MINID', arguments[2])
  end
  return dropped
end

-- Return address and seq of each standby that reported of late, and forget the others.
local function standbys(keys)
  local oldest = time_us() / 1000 - STANDBY_MS_MAX
  local found = redis.call('HGETALL', keys[5])
  local living = {}
  for i = 1, #found, 2 do
    local seq, reported = string.match(found[i + 1], '^(%d+) (%d+)$')
    if reported and tonumber(reported) >= oldest then
      living[#living + 1] = found[i]
      living[#living + 1] = seq
    else
      redis.call('HDEL', keys[5], found[i])
    end
  end
  return living
end

-- Note how far a standby is. arguments: address, seq.
local function report(keys, arguments)
  redis.call('HSET', keys[5], arguments[1], string.format('%s %.0f', arguments[2], time_us() / 1000))
  return standbys(keys)
end

-- At its memory limit a server takes no more entries, but all that helps it out of there.
local function register(name, callback)
  redis.register_function{function_name = name, callback = callback, flags = {'allow-oom'}}
end

redis.register_function('onhand_append_v2', append)
register('onhand_claim_v2', claim)
register('onhand_renew_v2', renew)
register('onhand_release_v2', release)
register('onhand_settle_v2', settle)
register('onhand_trim_v2', trim)
register('onhand_report_v2', report)
register('onhand_standbys_v2', standbys)
