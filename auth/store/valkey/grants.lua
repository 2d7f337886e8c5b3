-- The steps about grants, codes, tokens and clients: `--- name flags` begins a script.

--- add_grant
local k = key('grant', a.grant_id)
if
  is_banned(a.client)
  or not (a.is_client or admits(a.subject))
  or (is_given(a.session) and not has_session(a.subject, a.session))
  or call('EXISTS', k) == 1
then
  return 0
end
if not a.is_client then
  make_room_for_grant()
end
call('HSET', k, 'client', a.client, unpack(a.grant))
call('SADD', key('grants', a.subject), a.grant_id)
call('SADD', prefix .. 'clients', a.client)
extend_grant(a.grant_id, a.expires_at)
put(key(a.kind, a.digest), a.issued, a.issued_expires_at - a.now)
if a.is_client then
  note_for_itself()
end
return 1

--- find_grant no-writes
return is_live(a.grant_id) and cjson.encode(call('HGETALL', key('grant', a.grant_id)))

--- find_grants no-writes
local found = {}
for _, grant_id in ipairs(call('SMEMBERS', key('grants', a.subject))) do
  local k = key('grant', grant_id)
  if (not a.now or is_live(grant_id)) and (not a.client or call('HGET', k, 'client') == a.client) then
    found[#found + 1] = call('HGETALL', k)
  end
end
return cjson.encode(found)

--- find_code no-writes
local k = key('code', a.digest)
local grant_id = call('HGET', k, 'grant_id')
return grant_id
  and cjson.encode({ call('HGETALL', k), call('HGETALL', key('grant', grant_id)) })

--- find_access_token no-writes
local k = key('token', a.digest)
local grant_id = call('HGET', k, 'grant_id')
return grant_id
  and is_live(grant_id)
  and cjson.encode({ call('HGETALL', k), call('HGETALL', key('grant', grant_id)) })

--- consume_code
local k = key('code', a.code)
local grant_id, expires_at, is_spent = unpack(call('HMGET', k, 'grant_id', 'expires_at', 'is_spent'))
if not grant_id or tonumber(expires_at) <= a.now or not is_live(grant_id) then
  return 'REFUSED'
end
if is_spent == '1' then
  end_grant(grant_id)
  return 'REPLAYED'
end
call('HSET', k, 'is_spent', '1')
call('HSET', key('grant', grant_id), 'generation', 1, 'rotated_at', a.now)
extend_grant(grant_id, a.expires_at)
put_access_token()
return 'CONSUMED'

--- rotate_refresh_token
if not is_live(a.grant_id) then
  return 'REFUSED'
end
local k = key('grant', a.grant_id)
local held = call('HMGET', k, 'generation', 'rotated_at')
local generation, rotated_at = tonumber(held[1]), tonumber(held[2])
if a.generation < 1 or a.generation > generation then
  return 'REFUSED'
end
if a.generation == generation then
  call('HSET', k, 'generation', generation + 1, 'rotated_at', a.now)
  extend_grant(a.grant_id, a.expires_at)
  put_access_token()
  for _, digest in ipairs(a.superseded) do
    call('DEL', key('token', digest))
  end
  return 'ROTATED'
end
if a.generation == generation - 1 and a.now < rotated_at + a.grace then
  return 'REPEATED'
end
end_grant(a.grant_id)
return 'REPLAYED'

--- revoke_access_token allow-oom
call('DEL', key('token', a.digest))

--- narrow_grant allow-oom
if not is_live(a.grant_id) then
  return 0
end
local k, allowed, kept = key('grant', a.grant_id), {}, {}
for _, scope in ipairs(a.scopes) do
  allowed[scope] = true
end
for _, scope in ipairs(cjson.decode(call('HGET', k, 'scopes'))) do
  if allowed[scope] then
    kept[#kept + 1] = scope
  end
end
call('HSET', k, 'scopes', #kept > 0 and cjson.encode(kept) or '[]')
return 1

--- revoke_grant allow-oom
return end_grant(a.grant_id)

--- revoke_grants allow-oom
return end_grants(call('SMEMBERS', key('grants', a.subject)))

--- record_uses
for _, use in ipairs(a.uses) do
  local k = key('grant', use.grant_id)
  if call('EXISTS', k) == 1 then
    local day, last_used_at = unpack(call('HMGET', k, 'day', 'last_used_at'))
    call('HINCRBY', k, 'calls', use.calls)
    if not day or use.day > tonumber(day) then
      call('HSET', k, 'day', use.day, 'calls_on_day', use.calls_on_day)
    elseif use.day == tonumber(day) then
      call('HINCRBY', k, 'calls_on_day', use.calls_on_day)
    end
    if not last_used_at or use.last_used_at > tonumber(last_used_at) then
      call('HSET', k, 'last_used_at', use.last_used_at)
    end
  end
end

--- ban_client allow-oom
call('HSET', prefix .. 'bans', a.client, a.ban)

--- end_grants_of_client allow-oom
local grant_ids = call('ZRANGE', key('client', a.client), 0, a.most - 1)
for _, grant_id in ipairs(grant_ids) do
  end_grant(grant_id)
  unlist_of_client(grant_id, a.client)
end
return #grant_ids

--- unban_client allow-oom
return call('HDEL', prefix .. 'bans', a.client)

--- find_ban no-writes
return call('HGET', prefix .. 'bans', a.client)

--- list_bans no-writes
return call('HVALS', prefix .. 'bans')

--- list_client_digests no-writes
return call('SMEMBERS', prefix .. 'clients')

--- count_grants no-writes
local found = {}
for _, client in ipairs(a.clients) do
  local index = key('client', client)
  local live = call('ZCOUNT', index, '(' .. a.now, '+inf')
  local last = call('ZRANGE', index, -1, -1)[1]
  if live > 0 and not is_banned(client) then
    found[#found + 1] = { call('HMGET', key('grant', last), 'client_id', 'client_name'), live }
  end
end
return cjson.encode(found)

--- purge allow-oom
local expired = call('ZRANGE', prefix .. 'expiring', '-inf', a.now, 'BYSCORE', 'LIMIT', 0, a.limit)
for _, grant_id in ipairs(expired) do
  forget_grant(grant_id)
end
return #expired
