-- What every script of the Valkey store begins with. ARGV: the key prefix, the arguments as JSON.
--
-- Under the prefix, digests in hex; (t) is swept up by the server, the rest goes when a step says so:
--
--   usernames           hash    username in folded case -> subject
--   account:<subject>   hash    an Account, `folded` the username's other form
--   events:<subject>    list    Events as JSON, newest first (t)
--   session:<digest>    hash    a Session (t)
--   sessions:<subject>  zset    a person's sessions by signed_in_at (t)
--   spent:<digest>      string  a one-time thing that was used (t)
--   grant:<grant_id>    hash    a Grant and its Use, `client` the digest of its client_id, `token`
--                               that of the access token of one that a client has for itself
--   grants:<subject>    set     a person's grants
--   expiring            zset    every grant by expires_at, for purge
--   client:<digest>     zset    a client's grants that are not revoked, by expires_at
--   clients             set     the digests of clients that have any
--   own:<digest>        list    those that a client has for itself, the newest first (t)
--   code:<digest>       hash    a Code (t)
--   token:<digest>      hash    an AccessToken (t)
--   bans                hash    digest of a client_id -> a Ban as JSON

local SLACK = 3600

local prefix, a = ARGV[1], cjson.decode(ARGV[2])
local call = redis.call

local function is_given(argument)
  return argument and argument ~= cjson.null
end

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

-- Every decision is made by the caller's `now`; what the server forgets by itself is only swept up.
-- It may do so `seconds` and an hour from now: the two clocks need not agree, only run equally fast,
-- and the caller's may be set back by an hour before a record is missed. Never shortens.
local function keep(k, seconds)
  local milliseconds = (seconds + SLACK) * 1000
  if call('PTTL', k) < milliseconds then
    call('PEXPIRE', k, milliseconds)
  end
end

local function put(k, fields, seconds)
  call('HSET', k, unpack(fields))
  keep(k, seconds)
end

local function admits(subject)
  local k = key('account', subject)
  return call('EXISTS', k) == 1 and call('HEXISTS', k, 'disabled_at') == 0
end

local function has_session(subject, digest)
  local whose, expires_at = unpack(call('HMGET', key('session', digest), 'subject', 'expires_at'))
  return whose == subject and tonumber(expires_at) > a.now
end

local function end_session(subject, digest)
  call('DEL', key('session', digest))
  call('ZREM', key('sessions', subject), digest)
end

local function end_sessions(subject, kept)
  for _, digest in ipairs(call('ZRANGE', key('sessions', subject), 0, -1)) do
    if digest ~= kept then
      end_session(subject, digest)
    end
  end
end

local function is_banned(client)
  return call('HEXISTS', prefix .. 'bans', client) == 1
end

-- A ban counts from its first step on, though it ends the grants one slice after the other.
local function is_live(grant_id)
  local expires_at, revoked_at, client =
    unpack(call('HMGET', key('grant', grant_id), 'expires_at', 'revoked_at', 'client'))
  return expires_at
    and not revoked_at
    and tonumber(expires_at) > a.now
    and not is_banned(client)
end

local function unlist_of_client(grant_id, client)
  local index = key('client', client)
  call('ZREM', index, grant_id)
  if call('EXISTS', index) == 0 then
    call('SREM', prefix .. 'clients', client)
  end
end

-- How many lived: 0 or 1. An expired grant is revoked too, because the clock may be set back.
-- A revoked one stays until it expires, so that a replay is still seen.
local function end_grant(grant_id)
  local k = key('grant', grant_id)
  local client, revoked_at = unpack(call('HMGET', k, 'client', 'revoked_at'))
  if not client or revoked_at then
    return 0
  end
  local lived = is_live(grant_id) and 1 or 0
  call('HSET', k, 'revoked_at', a.now)
  unlist_of_client(grant_id, client)
  return lived
end

local function end_grants(grant_ids)
  local ended = 0
  for _, grant_id in ipairs(grant_ids) do
    ended = ended + end_grant(grant_id)
  end
  return ended
end

local function end_everything_of(subject, kept_session)
  end_sessions(subject, kept_session)
  end_grants(call('SMEMBERS', key('grants', subject)))
end

local function forget_grant(grant_id)
  local k = key('grant', grant_id)
  local subject, client, token = unpack(call('HMGET', k, 'subject', 'client', 'token'))
  if subject then
    call('DEL', k)
    if token then
      call('DEL', key('token', token))
    end
    call('SREM', key('grants', subject), grant_id)
    unlist_of_client(grant_id, client)
  end
  call('ZREM', prefix .. 'expiring', grant_id)
end

-- As `Store.add_grant` says: dead ones first, then those never exchanged; live ones in use never.
local function make_room_for_grant()
  local grant_ids, unused, worth = call('SMEMBERS', key('grants', a.subject)), {}, {}
  if #grant_ids < a.most then
    return
  end
  for _, grant_id in ipairs(grant_ids) do
    local generation, client, created_at =
      unpack(call('HMGET', key('grant', grant_id), 'generation', 'client', 'created_at'))
    local lives = is_live(grant_id)
    if generation == '0' or not lives then
      table.insert(unused, grant_id)
      worth[grant_id] = (lives and 2e10 or 0)
        + (client ~= a.client and 1e10 or 0)
        + tonumber(created_at)
    end
  end
  table.sort(unused, function(one, other)
    return worth[one] < worth[other]
  end)
  for n = 1, #unused - a.most + 1 do
    forget_grant(unused[n])
  end
end

-- As `Store.add_grant` says: of too many that a client has for itself the first added ends.
local function note_for_itself()
  local k = key('own', a.client)
  call('HSET', key('grant', a.grant_id), 'token', a.digest)
  call('LPUSH', k, a.grant_id)
  keep(k, a.expires_at - a.now)
  if call('LLEN', k) > a.most then
    forget_grant(call('RPOP', k))
  end
end

local function extend_grant(grant_id, expires_at)
  local k = key('grant', grant_id)
  call('HSET', k, 'expires_at', expires_at)
  call('ZADD', prefix .. 'expiring', expires_at, grant_id)
  call('ZADD', key('client', call('HGET', k, 'client')), expires_at, grant_id)
end

local function put_access_token()
  put(key('token', a.token), a.access_token, a.token_expires_at - a.now)
end
