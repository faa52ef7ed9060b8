-- The database's clock was set back: times that were written while it was ahead are put right.
-- `set_s` is by how many seconds it was. What is to come and lies ahead comes nearer by so much, and never
-- before now; what has been was not later than now. Only leases that are longer than any are shortened: the
-- others were taken since.

-- name: behind
-- Seconds that the clock is behind the latest time it told of a process, or of the ledger where no process
-- is known; below zero where it runs as it should.
select extract(epoch from coalesce((select max(seen_at) from process),
                                   (select recorded_at from ledger_head where lane = 0 and isfinite(recorded_at)))
                          - clock_timestamp())::float8;

-- name: lock
-- Waits for whoever puts it right just now; held until the end of the transaction.
select pg_advisory_xact_lock(%(lock)s);

-- name: processes
-- When processes were seen.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update process
set seen_at = greatest(now, seen_at - step), started_at = least(started_at, now)
from c where seen_at > now;

-- name: polls
-- When partners are polled. Up to when their orders are known is forgotten, for it is not known that
-- exactly; a poll of several pages begins anew.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update poll_cursor
set due_at = case when due_at > now then greatest(now, due_at - step) else due_at end,
    held_until = case when held_until > now then greatest(now, held_until - step) else held_until end,
    lease_until = case when lease_until > now + step / 2 then lease_until - step else lease_until end,
    leased_by = case when poll_started_at > now then '' else leased_by end,
    poll_started_at = case when poll_started_at <= now then poll_started_at end,
    watermark = case when watermark <= now then watermark end,
    last_success_at = case when last_success_at > now then now else last_success_at end,
    last_error_at = case when last_error_at > now then now else last_error_at end
from c
where greatest(due_at, held_until, lease_until, poll_started_at, watermark, last_success_at) > now;

-- name: orders
-- How far orders had come by that clock is looked up again.
delete from orders_seen where greatest(seen, recorded, recorded_at) > clock_timestamp();

-- name: levels
-- When levels are sent, and who holds them.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step),
ahead as (
    select channel, listing, location from level, c
    where greatest(due_at, waiting_since, lease_until, doubt_until, rest_until, short_at) > now
    order by channel, listing, location
    for update of level
)
update level
set due_at = case when due_at > now then greatest(now, due_at - step) else due_at end,
    waiting_since = least(waiting_since, now),
    lease_until = case when lease_until > now + step / 2 then lease_until - step else lease_until end,
    doubt_until = case when doubt_until > now then greatest(now, doubt_until - step) else doubt_until end,
    rest_until = case when rest_until > now then greatest(now, rest_until - step) else rest_until end,
    short_at = case when short_at > now then now else short_at end
from ahead, c
where level.channel = ahead.channel and level.listing = ahead.listing and level.location = ahead.location;

-- name: connections
-- Until when partners want no call.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update connection_state
set retry_at = case when retry_at > now then greatest(now, retry_at - step) else retry_at end,
    refilled_at = least(refilled_at, now),
    heartbeat = case when heartbeat > now then now else heartbeat end,
    last_success = case when last_success > now then now else last_success end,
    last_failure = case when last_failure > now then now else last_failure end
from c where greatest(retry_at, refilled_at, heartbeat, last_success, last_failure) > now;

-- name: buckets
-- What partners take of single operations is earned from now on.
update partner_bucket set refilled_at = clock_timestamp() where refilled_at > clock_timestamp();

-- name: payloads
-- Payloads whose worker is gone.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update payload set lease_until = lease_until - step
from c where state = 'received' and lease_until > now + step / 2;

-- name: subscriptions
-- When consumers are told.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update subscription_progress
set due_at = case when due_at > now then greatest(now, due_at - step) else due_at end,
    failing_since = case when failing_since > now then now else failing_since end,
    delivered_at = case when delivered_at > now then now else delivered_at end,
    lease_until = case when lease_until > now + step / 2 then lease_until - step else lease_until end
from c where greatest(due_at, failing_since, delivered_at, lease_until) > now;

-- name: heartbeats
-- Signs of life: who is silent from now on is noticed as soon as ever.
update heartbeat set seen_at = clock_timestamp() where seen_at > clock_timestamp();

-- name: keys
-- Keys' last use, which is a sign of life as well.
update api_key set last_used_at = clock_timestamp() where last_used_at > clock_timestamp();

-- name: windows
-- How blind channels were: the newest window is the one in force.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update blind_window set valid_from = valid_from - step from c where valid_from > now;

-- name: calls
-- Calls under an Idempotency-Key whose process is gone.
with c as (select clock_timestamp() as now, make_interval(secs => %(set_s)s) as step)
update idempotency set locked_until = locked_until - step
from c where status is null and locked_until > now + step / 2;

-- name: trials
-- Replays of policies whose process is gone.
update policy_trial_run set beat_at = clock_timestamp()
where state = 'running' and beat_at > clock_timestamp();

-- name: sessions
-- Sessions last no longer for it.
update console_session
set seen_at = least(seen_at, clock_timestamp()), opened_at = least(opened_at, clock_timestamp())
where greatest(seen_at, opened_at) > clock_timestamp();

-- name: attempts
-- Nor do failed attempts to sign in count for longer.
update sign_in_failure set at = clock_timestamp() where at > clock_timestamp();

-- name: deeds
-- Nor can deeds be taken back for longer.
update console_deed set done_at = clock_timestamp() where done_at > clock_timestamp();

-- name: shelf_life
-- Lots that had fallen short of the days asked for by that clock have them again: their SKUs are marked, and
-- will be on the day itself.
with ahead as (
    select day, (clock_timestamp() at time zone 'UTC')::date as today from shelf_life_day
    where day > (clock_timestamp() at time zone 'UTC')::date for update
), crossed as (
    select distinct lot.sku
    from ahead
    cross join (select distinct min_shelf_life_days as days from exposure_policy
                where min_shelf_life_days > 0) asked
    join lot on lot.expires_on >= ahead.today + asked.days
            and lot.expires_on < ahead.day + asked.days
), marked as (
    insert into dirty (sku, sequence) select sku, 0 from crossed
)
update shelf_life_day set day = ahead.today from ahead;
