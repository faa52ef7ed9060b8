-- How blind channels are, and who is silent.

-- name: lock_measuring
-- Whether this transaction is the only one that measures.
select pg_try_advisory_xact_lock(%(lock)s);

-- name: beat
-- A system gave a sign of life by itself. Answers its time, nothing for an unknown system.
insert into heartbeat (system, seen_at)
select code, clock_timestamp() from system where code = %(system)s
on conflict (system) do update set seen_at = excluded.seen_at
returning seen_at;

-- name: sources
-- What is known of every system as a source of sales. A call with a key of its own is a sign of life
-- too. A system that never gave one is heard from the time its promise was first looked at.
with promised as (
    insert into heartbeat (system, seen_at)
    select code, clock_timestamp() from system where heartbeat_s > 0
    on conflict do nothing
    returning system, seen_at
)
select system.code, system.heartbeat_s::float8, greatest(beat.seen_at, promised.seen_at, used.last_at),
       coalesce(system.connector <> '' and poll.connection is not null, false),
       poll.last_success_at, coalesce(poll.failures, 0), coalesce(lag.lags, '{}'),
       coalesce(poll.every_s, 0)
from system
left join heartbeat beat on beat.system = system.code
left join promised on promised.system = system.code
left join (select system, max(last_used_at) as last_at from api_key group by system) used
       on used.system = system.code
left join poll_cursor poll on poll.connection = system.code
left join source_lag lag on lag.system = system.code
order by system.code;

-- name: latencies
-- (channel, seconds) from a change until its acknowledgement, of the newest attempts within a time; a
-- level's version is the time of its change in milliseconds, or ahead of the clock where that was set back. What
-- waited for the channel's orders tells nothing of how late a decrease would be.
select channel, greatest(extract(epoch from finished_at) - version / 1000.0, 0)::float8
from (select channel, version, outcome, finished_at, resent, waited from attempt
      order by call desc, n desc limit %(samples)s) newest
where outcome = 'acknowledged' and not resent and not waited
  and version <= extract(epoch from finished_at) * 1000
  and finished_at > clock_timestamp() - make_interval(secs => %(within_s)s);

-- name: waiting
-- (channel, seconds) since changes that may be overdue: a channel may show more than it should.
select channel, extract(epoch from clock_timestamp() - waiting_since)::float8
from level
where state in ('due', 'sending') and lane = 'decrease' and acknowledged is not null
limit %(samples)s;

-- name: channels
-- Every channel with its system, whether it is told by a connector, and the system's latency budget.
select channel.code, channel.system, system.connector <> '', system.latency_budget_s::float8
from channel join system on system.code = channel.system
order by channel.code;

-- name: windows
-- The windows in force, by channel and source.
select distinct on (channel, source) channel, source, seconds, why
from blind_window
order by channel, source, valid_from desc;

-- name: add_windows
-- Windows that are new or other than before, from now on.
insert into blind_window (channel, source, valid_from, seconds, why)
select channel, source, clock_timestamp(), seconds, why
from unnest(%(channels)s::text[], %(sources)s::text[], %(seconds)s::double precision[],
            %(whys)s::text[]) as given (channel, source, seconds, why);

-- name: degraded
-- The sources that are silent now.
select system, silent_since, reason from degraded order by system;

-- name: replace_degraded
-- Makes these the silent ones; answers how many rows changed.
with given as (
    select * from unnest(%(systems)s::text[], %(since)s::timestamptz[], %(reasons)s::text[])
                  as row (system, since, reason)
), gone as (
    delete from degraded where system <> all (%(systems)s::text[]) returning system
), came as (
    insert into degraded (system, silent_since, reason) select system, since, reason from given
    on conflict (system) do update set silent_since = excluded.silent_since, reason = excluded.reason
    where (degraded.silent_since, degraded.reason)
          is distinct from (excluded.silent_since, excluded.reason)
    returning system
)
select (select count(*) from gone) + (select count(*) from came);

-- name: speakers
-- Which systems record at which places.
select distinct location, system from authority;

-- name: mark_capped
-- Levels of all SKUs sold through channels that are capped while a source is silent must be computed
-- again.
insert into dirty (sku, sequence)
select distinct part.sku, 0
from listing_component part
where exists (select from exposure_policy policy
              where policy.channel = part.channel and policy.degraded_cap is not null);
