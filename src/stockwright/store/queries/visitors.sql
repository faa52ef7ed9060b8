-- name: open_session
-- Nothing; the session stands until %(ttl_s)s seconds from now.
insert into console_session (token_hash, key_id, expires_at)
values (%(token_hash)s, %(key_id)s, clock_timestamp() + make_interval(secs => %(ttl_s)s));

-- name: drop_expired
-- Nothing; sessions whose time is over are gone.
delete from console_session where expires_at < clock_timestamp();

-- name: visitor
-- Whose session a token is, where session and key still hold: (key id, name, scopes, system).
select k.id, k.name, k.scopes, k.system
from console_session s
join api_key k on k.id = s.key_id
where s.token_hash = %(token_hash)s
  and s.expires_at > clock_timestamp()
  and k.revoked_at is null
  and (k.expires_at is null or k.expires_at > clock_timestamp());

-- name: close_session
-- Nothing; the session is gone.
delete from console_session where token_hash = %(token_hash)s;
