#!lua name=onhand_bench
-- Checks, decrements, stores the reservation and its expiry: one round trip, as a shop might write it.

local function reserve(keys, arguments)
  local sku = keys[1]
  local quantity, ttl_seconds = tonumber(arguments[1]), tonumber(arguments[2])
  local available = tonumber(redis.call('GET', sku) or '0')
  if available < quantity then
    return redis.error_reply('INSUFFICIENT_STOCK')
  end
  redis.call('DECRBY', sku, quantity)
  local id = redis.call('INCR', 'reservations')
  local expires = tonumber(redis.call('TIME')[1]) + ttl_seconds
  redis.call('HSET', 'reservation:' .. id, 'sku', sku, 'quantity', quantity, 'expires', expires)
  redis.call('ZADD', 'expiries', expires, id)
  return id
end

redis.register_function('reserve', reserve)
