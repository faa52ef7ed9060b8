-- How far each connection has been asked.

-- name: ensure
-- Makes the row of a connection that is polled for the first time.
insert into poll_cursor (connection) values (%(connection)s) on conflict do nothing;

-- name: lease
-- The cursor of a connection, taken for one worker; nothing where another polls it, it is not due, or it
-- is being connected and not in shadow yet.
update poll_cursor
set lease_until = clock_timestamp() + %(lease_s)s * interval '1 second', leased_by = %(worker)s
where connection = %(connection)s
  and (lease_until is null or lease_until < clock_timestamp())
  and (due_at <= clock_timestamp() or %(now)s)
  and not exists (select from connecting where system = %(connection)s and stage = 'added')
returning cursor, poll_started_at;

-- name: advance
-- Moves the cursor on with the payloads of a page, in their transaction; only for the lease's holder.
-- A page began no later than its asking took, by this clock: a worker whose own clock is ahead must not
-- claim to know orders that are still to come.
update poll_cursor
set cursor = %(cursor)s,
    poll_started_at = case when not %(complete)s then coalesce(poll_started_at, begun.at) end,
    watermark = case when %(complete)s
                     then greatest(case when watermark <= clock_timestamp() then watermark end,
                                   coalesce(poll_started_at, begun.at))
                     else watermark end,
    last_success_at = clock_timestamp(), last_error = '', failures = 0, every_s = %(every_s)s,
    held_until = null,
    due_at = case when %(complete)s
                  then clock_timestamp() + %(every_s)s * interval '1 second'
                  else clock_timestamp() end,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
from (select least(%(started_at)s::timestamptz,
                   clock_timestamp() - %(took_s)s * interval '1 second') as at) begun
where connection = %(connection)s and leased_by = %(worker)s and cursor = %(before)s
returning watermark;

-- name: extend
-- Keeps a connection for its worker while a page is read.
update poll_cursor set lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
where connection = %(connection)s and leased_by = %(worker)s and lease_until > clock_timestamp();

-- name: failed
-- Notes why a poll failed and when the next try is due. An unfinished poll begins anew.
update poll_cursor
set last_error = %(error)s, last_error_at = clock_timestamp(), failures = failures + 1,
    poll_started_at = null, lease_until = null,
    due_at = clock_timestamp() + %(retry_s)s * interval '1 second'
where connection = %(connection)s and leased_by = %(worker)s
returning failures;

-- name: hold
-- Puts a poll off because its turn in the partner's plan has not come: no failure, and what was read of it
-- stands.
update poll_cursor
set held_until = due.at, due_at = due.at, lease_until = null
from (select clock_timestamp() + %(wait_s)s * interval '1 second' as at) due
where connection = %(connection)s and leased_by = %(worker)s;

-- name: keep_silence
-- Puts the next poll off for a silence that the partner asked for in answer to somebody else.
update poll_cursor
set held_until = greatest(held_until, over.at), due_at = greatest(due_at, over.at)
from (select clock_timestamp() + %(wait_s)s * interval '1 second' as at) over
where connection = %(connection)s and (lease_until is null or lease_until <= clock_timestamp());

-- name: release
-- Gives the connection back to whoever polls it next.
update poll_cursor set lease_until = null
where connection = %(connection)s and leased_by = %(worker)s;

-- name: hurry
-- Makes the next poll of a connection due now; not one that waits for its turn in the partner's plan.
update poll_cursor set due_at = clock_timestamp()
where connection = %(connection)s and due_at > clock_timestamp()
  and (held_until is null or held_until <= clock_timestamp());

-- name: mended
-- Makes the next poll due now where the last one failed for a setting, and a person was asked to look at
-- it. Other failures keep their time: a partner may have named it.
update poll_cursor set due_at = clock_timestamp()
where connection = %(connection)s and failures > 0 and due_at > clock_timestamp()
  and (lease_until is null or lease_until <= clock_timestamp())
  and (held_until is null or held_until <= clock_timestamp())
  and exists (select from work_item
              where kind = 'connection_misconfigured' and system = %(connection)s
                and detail -> 'stopped' ? 'reading' and closed_at is null);

-- name: retry
-- Makes the next poll of a connection due now because a person wants it; not while one is under way or waits
-- for its turn in the partner's plan.
update poll_cursor set due_at = clock_timestamp()
where connection = %(connection)s and due_at > clock_timestamp()
  and (lease_until is null or lease_until <= clock_timestamp())
  and (held_until is null or held_until <= clock_timestamp());

-- name: turn
-- When a connection is polled next, whether that waits or is under way by now, and why the last one failed.
select due_at, due_at > now.at, coalesce(lease_until > now.at, false),
       coalesce(held_until > now.at, false), last_error
from poll_cursor, (select clock_timestamp() as at) now
where connection = %(connection)s;

-- name: states
-- Every polled connection: how far, since when, and why not.
select connection, cursor, watermark, last_success_at, last_error, last_error_at, failures, due_at
from poll_cursor order by connection;

-- name: failures
-- How often in a row the polls of a connection have failed.
select failures from poll_cursor where connection = %(connection)s;
