#!lua name=onhand_journal_v1
-- The three steps that a journal server takes on a shard's journal as a whole, called with three keys under one hash tag:
--   keys[1]  the stream; an entry's id is <its last seq>-0
--   keys[2]  the epoch: the number of the one writer that may append
--   keys[3]  the tail: id of the last entry appended. XINFO STREAM knows it as well, but copies the first and the last
--            entry to say so, which more than doubles what appending a large entry costs.
-- The names carry the version: two releases at one server each call their own.

local function last_generated_id(journal)
  if redis.call('EXISTS', journal) == 0 then return '0-0' end
  local info = redis.call('XINFO', 'STREAM', journal)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return info[i + 1] end
  end
end

-- What is in the journal: epoch, tail, the stream's own last id, and the last entry's id and payload ('' if it has none).
local function state_of(keys)
  local entry = redis.call('XREVRANGE', keys[1], '+', '-', 'COUNT', 1)[1]
  return {
    redis.call('GET', keys[2]) or '0',
    redis.call('GET', keys[3]) or '0-0',
    last_generated_id(keys[1]),
    entry and entry[1] or '',
    entry and entry[2][2] or '',
  }
end

-- Make the caller the one writer. INCR is a write: its fsync makes durable whatever is read here, even what a server that
-- crashed between write and fsync left in the page cache.
local function claim(keys)
  redis.call('INCR', keys[2])
  return state_of(keys)
end

-- Say what is in the journal, once it is durable: writing the tail over itself forces the fsync, as in claim.
local function settle(keys)
  redis.call('SET', keys[3], redis.call('GET', keys[3]) or '0-0')
  return state_of(keys)
end

-- Append one entry. arguments: epoch, id, id of the entry before, payload.
local function append(keys, arguments)
  local epoch = redis.call('GET', keys[2]) or '0'
  if epoch ~= arguments[1] then
    return redis.error_reply('FENCED epoch is ' .. epoch)
  end
  local tail = redis.call('GET', keys[3]) or '0-0'
  if tail ~= arguments[3] then
    return redis.error_reply('GAP last id is ' .. tail)
  end
  local id
  if tail == '0-0' then
    id = redis.call('XADD', keys[1], arguments[2], 'entry', arguments[4])
  else
    -- A trimmed stream is still there and knows its last id; one that is gone is not begun anew in the middle.
    id = redis.call('XADD', keys[1], 'NOMKSTREAM', arguments[2], 'entry', arguments[4])
  end
  if not id then
    return redis.error_reply('GAP the stream is gone')
  end
  redis.call('SET', keys[3], arguments[2])
  return id
end

redis.register_function('onhand_claim_v1', claim)
redis.register_function('onhand_settle_v1', settle)
redis.register_function('onhand_append_v1', append)
