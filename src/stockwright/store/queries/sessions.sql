-- Sessions of signed-in users, and attempts to sign in.

-- name: lock_sign_in
-- Waits for whoever counts an attempt at the moment, so that parallel guesses are all counted.
select pg_advisory_xact_lock(%(lock)s);

-- name: recent_failures
-- How many attempts within the window count against an account or an address, and how many seconds
-- pass until the first of the newest `limit` of them is forgotten.
select count(*), extract(epoch from min(at) - clock_timestamp()) + %(window_s)s
from (
    select at from sign_in_failure
    where (account = %(account)s or %(account)s is null)
      and (address = %(address)s or %(address)s is null)
      and at > clock_timestamp() - make_interval(secs => %(window_s)s)
    order by at desc limit %(limit)s
) recent;

-- name: count_attempt
-- Counts one attempt as failed until it is known to be right; answers its id.
insert into sign_in_failure (account, address) values (%(account)s, %(address)s) returning id;

-- name: forget_old_failures
-- Forgets attempts whose time is over, at most a thousand at once.
delete from sign_in_failure where id in (
    select id from sign_in_failure
    where at < clock_timestamp() - make_interval(secs => %(window_s)s) limit 1000
);

-- name: forget_failures
-- Forgets the attempts on an account once its password was given.
delete from sign_in_failure where account = %(account)s;

-- name: rehash
-- Keeps a password under today's cost, unless it was changed meanwhile.
update app_user set password = %(new)s where id = %(user_id)s and password = %(old)s;

-- name: open_session
-- Opens a session of a user who is still let in, and whose password is still the one that was given;
-- answers the session's id and the user's name.
with signed as (
    update app_user set signed_in_at = clock_timestamp()
    where id = %(user_id)s and disabled_at is null and password = %(password)s
    returning id, name
)
insert into console_session (token_hash, user_id, address, agent)
select %(token_hash)s, signed.id, %(address)s, %(agent)s from signed
returning id, (select name from signed);

-- name: drop_over
-- Removes sessions that are over.
delete from console_session
where seen_at < clock_timestamp() - make_interval(secs => %(idle_s)s)
   or opened_at < clock_timestamp() - make_interval(secs => %(longest_s)s);

-- name: session
-- Whose session a token is, where it still holds.
select s.id, u.id, u.name, u.role, u.must_change,
       s.seen_at < clock_timestamp() - interval '1 minute'
from console_session s
join app_user u on u.id = s.user_id
where s.token_hash = %(token_hash)s and u.disabled_at is null
  and s.seen_at > clock_timestamp() - make_interval(secs => %(idle_s)s)
  and s.opened_at > clock_timestamp() - make_interval(secs => %(longest_s)s);

-- name: still
-- A session and whose it is, where it still holds.
select s.id, u.id, u.name, u.role, u.must_change
from console_session s
join app_user u on u.id = s.user_id
where s.id = %(id)s and u.disabled_at is null
  and s.seen_at > clock_timestamp() - make_interval(secs => %(idle_s)s)
  and s.opened_at > clock_timestamp() - make_interval(secs => %(longest_s)s);

-- name: touch
-- Notes that a session is in use.
update console_session set seen_at = clock_timestamp() where id = %(id)s;

-- name: close
-- Ends the session of a token; answers its user's name.
delete from console_session s using app_user u
where s.token_hash = %(token_hash)s and u.id = s.user_id
returning u.name;

-- name: close_one
-- Ends one session of a user; answers its id.
delete from console_session where id = %(id)s and user_id = %(user_id)s returning id;

-- name: sessions_of
-- The sessions of a user that still hold, newest first.
select id, opened_at, seen_at, address, agent from console_session
where user_id = %(user_id)s
  and seen_at > clock_timestamp() - make_interval(secs => %(idle_s)s)
  and opened_at > clock_timestamp() - make_interval(secs => %(longest_s)s)
order by opened_at desc, id desc limit 100;
