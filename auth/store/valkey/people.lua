-- The steps about people and their browsers: `--- name flags` begins a script (see scripts.py).

--- read no-writes
local found = {}
for _, k in ipairs(a.keys) do
  found[#found + 1] = call('HGETALL', prefix .. k)
end
return cjson.encode(found)

--- add_account
if call('HSETNX', prefix .. 'usernames', a.folded, a.subject) == 0 then
  return 0
end
call('HSET', key('account', a.subject), 'folded', a.folded, unpack(a.account))
return 1

--- find_account_by_username no-writes
local subject = call('HGET', prefix .. 'usernames', a.folded)
return subject and cjson.encode({ call('HGETALL', key('account', subject)) })

--- list_subjects no-writes
return call('HVALS', prefix .. 'usernames')

--- update_profile
local k = key('account', a.subject)
if call('EXISTS', k) == 0 then
  return false
end
if #a.changes > 0 then
  call('HSET', k, unpack(a.changes))
end
return cjson.encode({ call('HGETALL', k) })

--- record_sign_in
local k = key('account', a.subject)
if call('EXISTS', k) == 1 then
  call('HSET', k, 'last_sign_in_at', a.now)
end

--- change_password allow-oom
local k = key('account', a.subject)
local stored = call('HGET', k, 'password_hash')
if not stored or (is_given(a.verified) and a.verified ~= stored) then
  return 0
end
call('HSET', k, 'password_hash', a.password_hash)
end_everything_of(a.subject, a.keep_session)
return 1

--- replace_password_hash
local k = key('account', a.subject)
if call('HGET', k, 'password_hash') ~= a.old then
  return 0
end
call('HSET', k, 'password_hash', a.new)
return 1

--- disable_account allow-oom
local k = key('account', a.subject)
if call('EXISTS', k) == 0 then
  return 0
end
call('HSET', k, 'disabled_at', a.now)
end_everything_of(a.subject)
return 1

--- enable_account allow-oom
local k = key('account', a.subject)
call('HDEL', k, 'disabled_at')
return call('EXISTS', k)

--- remove_account allow-oom
local k = key('account', a.subject)
local folded = call('HGET', k, 'folded')
if not folded then
  return 0
end
call('HDEL', prefix .. 'usernames', folded)
call('DEL', k, key('events', a.subject))
end_everything_of(a.subject)
return 1

--- add_session
local password_hash = call('HGET', key('account', a.subject), 'password_hash')
if not admits(a.subject) or password_hash ~= a.verified then
  return 0
end
local index = key('sessions', a.subject)
-- Their own oldest goes: nobody can sign anybody else out by signing in often.
for _, digest in ipairs(call('ZRANGE', index, 0, -a.most)) do
  end_session(a.subject, digest)
end
put(key('session', a.digest), a.session, a.expires_at - a.now)
call('ZADD', index, a.now, a.digest)
keep(index, a.expires_at - a.now)
return 1

--- extend_session
local k = key('session', a.digest)
local subject, signed_in_at = unpack(call('HMGET', k, 'subject', 'signed_in_at'))
if subject then
  call('HSET', k, 'expires_at', a.expires_at)
  keep(k, a.expires_at - signed_in_at)
  keep(key('sessions', subject), a.expires_at - signed_in_at)
end

--- revoke_session allow-oom
local subject = call('HGET', key('session', a.digest), 'subject')
if subject then
  end_session(subject, a.digest)
end

--- revoke_sessions allow-oom
end_sessions(a.subject)

--- spend
local k = key('spent', a.digest)
if a.expires_at <= a.now or call('SETNX', k, '') == 0 then
  return 0
end
keep(k, a.expires_at - a.now)
return 1

--- add_event
if call('EXISTS', key('account', a.subject)) == 0 then
  return
end
local k = key('events', a.subject)
call('LPUSH', k, a.event)
local alike, found = {}, 0
for _, kind in ipairs(a.alike) do
  alike[kind] = true
end
for _, event in ipairs(call('LRANGE', k, 0, -1)) do
  if alike[cjson.decode(event).kind] then
    found = found + 1
    if found > a.most then
      call('LREM', k, -1, event)
    end
  end
end
keep(k, a.seconds)

--- list_events no-writes
return call('LRANGE', key('events', a.subject), 0, -1)
