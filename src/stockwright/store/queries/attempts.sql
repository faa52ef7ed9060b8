-- name: start_call
-- Leases locked levels to a new call and writes down what it carries, before a byte of it leaves;
-- answers the call's number and how many levels it carries.
with this as (
    select nextval('publication_call') as call
), started as (
    update level
    set state = 'sending', call = this.call, lease_until = %(lease_until)s, sent = chosen.sent,
        sent_version = chosen.sent_version, version = chosen.version, sent_at = %(now)s,
        held = chosen.held, rest_until = %(rest_until)s, doubted = chosen.doubted
    from this, unnest(%(channels)s::text[], %(listings)s::text[], %(locations)s::text[],
                      %(sent)s::bigint[], %(sent_versions)s::bigint[], %(versions)s::bigint[],
                      %(held)s::bigint[], %(doubted)s::boolean[])
         with ordinality as chosen (channel, listing, location, sent, sent_version, version, held,
                                    doubted, place)
    where level.channel = chosen.channel and level.listing = chosen.listing
      and level.location = chosen.location
    returning this.call, chosen.place, level.channel, level.listing, level.location,
              level.sent_version, level.sent, level.held, level.lane,
              level.resend and level.acknowledged = level.desired as resent
), kept as (
    insert into attempt (call, n, channel, listing, location, version, value, started_at, deadline,
                         doubt_until, resent, held, waited)
    select call, place - 1, channel, listing, location, sent_version, sent, %(now)s, %(deadline)s,
           %(doubt)s, coalesce(resent, false), held, %(gated)s and lane = 'increase'
    from started
    returning call
)
select max(call), count(*) from kept;

-- name: finish_attempts
-- Writes down what became of a call's attempts.
update attempt
set finished_at = %(now)s, outcome = done.outcome, detail = done.detail,
    doubt_until = greatest(attempt.doubt_until, %(doubt)s)
from unnest(%(ns)s::smallint[], %(outcomes)s::text[], %(details)s::text[])
     as done (n, outcome, detail)
where attempt.call = %(call)s and attempt.n = done.n;

-- name: ensure_connection
-- Makes the row of a connection that is used for the first time.
insert into connection_state (system, tokens, refilled_at) values (%(system)s, %(tokens)s, 'epoch')
on conflict do nothing;

-- name: failing
-- Connections whose last call failed, by code: how often in a row, why, and when it is tried again.
select system, failures, last_error, retry_at from connection_state
where failures > 0 and %(system)s in ('', system) order by system;

-- name: note_limits
-- Keeps the limits that a worker keeps to, where they are other than before.
update connection_state set limits = %(limits)s
where system = %(system)s and limits is distinct from %(limits)s;

-- name: lock_connection
-- How a connection does and the budget all workers share, locked; and the database's clock.
select clock_timestamp(), paused, circuit, failures, retry_at, last_success, last_failure,
       last_error, heartbeat, tokens, refilled_at, increase_credit,
       holder, held_until
from connection_state
where system = %(system)s
for update;

-- name: read_connection
-- How a connection does, and the database's clock, without a lock.
select clock_timestamp(), paused, circuit, failures, retry_at, last_success, last_failure,
       last_error, heartbeat, tokens, refilled_at, increase_credit,
       holder, held_until
from connection_state
where system = %(system)s;

-- name: write_connection
-- Stores how a connection does; `paused` belongs to people and is left alone.
update connection_state
set circuit = %(circuit)s, failures = %(failures)s, retry_at = %(retry_at)s,
    last_success = %(last_success)s, last_failure = %(last_failure)s, last_error = %(last_error)s,
    heartbeat = %(heartbeat)s, tokens = %(tokens)s, refilled_at = %(refilled_at)s,
    increase_credit = %(increase_credit)s, holder = %(holder)s, held_until = %(held_until)s
where system = %(system)s;

-- name: let_go
-- Whoever published alone gives the connection back, if it is still his.
update connection_state set holder = '', held_until = null
where system = %(system)s and holder = %(holder)s;

-- name: pause_connection
-- Stops or resumes all calls of a connection; answers whether it is known.
insert into connection_state (system, paused) values (%(system)s, %(paused)s)
on conflict (system) do update set paused = excluded.paused;

-- name: open_refusal
-- Asks a person to look at a cause of refusals; one open item per cause.
insert into work_item (kind, subject, system, detail)
values (%(kind)s, %(subject)s, %(system)s, %(detail)s::jsonb)
on conflict (kind, subject) where closed_at is null
do update set seen = work_item.seen + 1, last_seen_at = clock_timestamp(), detail = excluded.detail;

-- name: close_refusals
-- Closes the items of causes that refuse no level of this channel any more.
update work_item
set closed_at = clock_timestamp(), closed_by = 'publication', closed_why = 'no level is refused'
where kind = 'publication_refused' and system = %(system)s and closed_at is null
  and not exists (select from level
                  where level.channel = work_item.detail ->> 'channel' and level.state = 'refused'
                    and level.last_error = work_item.detail ->> 'reason');

-- name: close_item
-- Closes one open item of a connection.
update work_item
set closed_at = clock_timestamp(), closed_by = 'publication', closed_why = %(why)s
where kind = %(kind)s and subject = %(subject)s and closed_at is null;

-- name: open_misconfigured
-- Asks a person to look at a setting for which a partner refuses us; one open item for all that it stops.
insert into work_item (kind, subject, system, detail)
values ('connection_misconfigured', %(subject)s, %(system)s,
        jsonb_build_object('setting', %(setting)s::text, 'message', %(message)s::text,
                           'stopped', jsonb_build_array(%(stopped)s::text)))
on conflict (kind, subject) where closed_at is null
do update set seen = work_item.seen + 1, last_seen_at = clock_timestamp(),
    detail = excluded.detail || jsonb_build_object('stopped',
        coalesce(work_item.detail -> 'stopped', '[]') - %(stopped)s::text
        || jsonb_build_array(%(stopped)s::text));

-- name: close_misconfigured
-- Takes out of the items of a system what is stopped no more, or not for that setting; those of which
-- nothing is left are closed.
update work_item
set detail = case when rest.stopped = '[]' then detail
                  else detail || jsonb_build_object('stopped', rest.stopped) end,
    closed_at = case when rest.stopped = '[]' then clock_timestamp() end,
    closed_by = case when rest.stopped = '[]' then 'connections' else closed_by end,
    closed_why = case when rest.stopped = '[]' then %(why)s else closed_why end
from (select id, coalesce(detail -> 'stopped', jsonb_build_array(%(stopped)s::text))
                 - %(stopped)s::text as stopped
      from work_item
      where kind = 'connection_misconfigured' and system = %(system)s and closed_at is null
        and subject <> %(but)s and coalesce(detail -> 'stopped' ? %(stopped)s, true)
      order by id for update) rest
where work_item.id = rest.id;

-- name: resend_decided
-- Makes refused levels of these channels due again where a person has closed their cause's work item.
-- Levels that others have locked are left for the next time: the connection is locked by now, and
-- whoever locks levels first waits for it.
with free as (
    select channel, listing, location from level
    where channel = any (%(channels)s::text[]) and state = 'refused'
      and not exists (select from work_item
                      where kind = 'publication_refused' and closed_at is null
                        and subject = level.channel || ': ' || level.last_error)
    for update of level skip locked
)
update level
set state = 'due', due_at = greatest(waiting_since, rest_until), attempts = 0
from free
where level.channel = free.channel and level.listing = free.listing
  and level.location = free.location;
