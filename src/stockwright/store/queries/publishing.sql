-- Publication as operators see and steer it: pauses, backlogs, lags, calls, and what a resync would do.

-- name: channel
-- The system of a channel, and whether a connector tells it.
select channel.system, system.connector <> ''
from channel join system on system.code = channel.system
where channel.code = %(channel)s;

-- name: pause
-- Pauses a channel; nothing where it is paused already.
insert into channel_pause (channel, paused_by, why) values (%(channel)s, %(actor)s, %(why)s)
on conflict do nothing
returning 1;

-- name: resume
-- Ends a channel's pause, and one of its whole connection; answers a row for each that ended.
with own as (
    delete from channel_pause where channel = %(channel)s returning 1
), whole as (
    update connection_state set paused = false where system = %(system)s and paused returning 1
)
select 1 from own union all select 1 from whole;

-- name: standings
-- What a resync makes of a channel's levels: (active listings, of these without a level, sent again,
-- of these zero, waiting, refused, unlisted, unfounded, waiting or refused above zero).
with levels as materialized (
    select standing, desired from level_standing where channel = %(channel)s
)
select (select count(*) from listing where channel = %(channel)s and active),
       (select count(*) from listing
        where channel = %(channel)s and active
          and not exists (select from level where level.channel = listing.channel
                                              and level.listing = listing.code)),
       count(*) filter (where standing = 'again'),
       count(*) filter (where standing = 'again' and desired = 0),
       count(*) filter (where standing = 'waiting'),
       count(*) filter (where standing = 'refused'),
       count(*) filter (where standing = 'unlisted'),
       count(*) filter (where standing = 'unfounded'),
       count(*) filter (where standing in ('waiting', 'refused') and desired > 0)
from levels;

-- name: again
-- The next levels of a channel after a key, and whether a resync sends them again, in order of key.
with next as materialized (
    select channel, listing, location from level
    where channel = %(channel)s and (listing, location) > (%(listing)s, %(location)s)
    order by listing, location
    limit %(limit)s
)
select next.listing, next.location, standing = 'again'
from next join level_standing using (channel, listing, location)
order by next.listing, next.location;

-- name: budgets
-- The budget of every connection, or of this one: (system, limits, tokens, as of, calls a second over
-- the last minute, seconds a call took, levels waiting in channels that are not paused, the time). Calls are looked for among the newest
-- %(calls)s of all connections; where these are of less than a minute, the rate is that of their time.
with newest as (
    select made.channel, made.started_at, made.finished_at
    from (select coalesce(max(call), 0) as last from attempt) top
    cross join generate_series(top.last, greatest(top.last - %(calls)s, 1), -1) as number (call)
    cross join lateral (
        select channel, started_at, finished_at from attempt
        where call = number.call and n = 0 limit 1
    ) made
    where made.started_at > now() - interval '1 minute'
), covered as (
    select case when count(*) < %(calls)s then 60.0
                else greatest(extract(epoch from now() - min(started_at)), 1.0) end as over_s
    from newest
), called as (
    select channel.system, count(*) as calls,
           avg(extract(epoch from newest.finished_at - newest.started_at)) as call_s
    from newest join channel on channel.code = newest.channel
    group by channel.system
), waiting as (
    select channel.system, count(*) as levels
    from (select channel from level where state = 'due'
          union all
          select channel from level where state = 'sending') level
    join channel on channel.code = level.channel
    where not exists (select from channel_pause where channel_pause.channel = level.channel)
    group by channel.system
)
select state.system, state.limits, state.tokens, state.refilled_at,
       (coalesce(called.calls, 0) / covered.over_s)::float8, coalesce(called.call_s, 0)::float8,
       coalesce(waiting.levels, 0), clock_timestamp()
from connection_state state
cross join covered
left join called on called.system = state.system
left join waiting on waiting.system = state.system
where %(system)s in ('', state.system)
order by state.system;

-- name: backlogs
-- The levels that wait, of every channel by lane: (channel, decreases, increases, first numbers among
-- them, sent again among them, in doubt). A first number is one the channel never acknowledged any of.
select channel,
       count(*) filter (where lane = 'decrease'),
       count(*) filter (where lane = 'increase'),
       count(*) filter (where lane = 'increase' and acknowledged is null),
       count(*) filter (where lane = 'increase' and resend and acknowledged = desired),
       count(*) filter (where doubt_until > now())
from (select * from level where state = 'due' and %(channel)s in ('', channel)
      union all
      select * from level where state = 'sending' and %(channel)s in ('', channel)) open_levels
group by channel;

-- name: oldest
-- Levels of a channel that wait, those that only are sent again last, longest first: (listing,
-- location, SKU of its first part, lane, state, desired, acknowledged, in doubt from, to, until,
-- waiting since, due at, tries, last error, whether only sent again).
select listing, location,
       coalesce((select part.sku from listing_component part
                 where part.channel = open_level.channel and part.listing = open_level.listing
                 order by part.sku limit 1), ''),
       lane, state, desired, acknowledged, doubt_low, doubt_high, doubt_until, waiting_since, due_at,
       attempts, last_error, coalesce(resend and acknowledged = desired, false)
from (select * from level where channel = %(channel)s and state = 'due'
      union all
      select * from level where channel = %(channel)s and state = 'sending') open_level
order by coalesce(resend and acknowledged = desired, false), waiting_since, listing, location
limit %(limit)s;

-- name: calls
-- The newest calls to a channel: (call, started_at, finished_at, levels, acknowledged, superseded,
-- to be tried again, refused, in doubt, without an answer yet, one detail of those that failed).
with recursive stepping (call) as (
    (select call from attempt where channel = %(channel)s order by call desc limit 1)
    union all
    select (select attempt.call from attempt
            where channel = %(channel)s and attempt.call < stepping.call
            order by attempt.call desc limit 1)
    from stepping where stepping.call is not null
), newest as (
    select call from stepping where call is not null limit %(limit)s
)
select attempt.call, min(attempt.started_at), max(attempt.finished_at), count(*),
       count(*) filter (where outcome = 'acknowledged'),
       count(*) filter (where outcome = 'superseded'),
       count(*) filter (where outcome = 'retry'),
       count(*) filter (where outcome = 'refused'),
       count(*) filter (where outcome = 'doubtful' or (outcome is null and deadline < now())),
       count(*) filter (where outcome is null and deadline >= now()),
       coalesce(min(detail) filter (where outcome not in ('acknowledged')), '')
from newest join attempt using (call)
group by attempt.call
order by attempt.call desc;

-- name: lags
-- The lag of a channel's acknowledgements by period, oldest first: (start of the period, p50, p99, how
-- many), of what was acknowledged since a time, among the newest %(samples)s attempts.
with newest as (
    select outcome, resent, version, finished_at from attempt
    where channel = %(channel)s order by call desc limit %(samples)s
), lag as (
    select to_timestamp(floor(extract(epoch from finished_at) / %(period_s)s) * %(period_s)s) as period,
           greatest(extract(epoch from finished_at) - version / 1000.0, 0) as s
    from newest
    where outcome = 'acknowledged' and not resent and finished_at > %(since)s
)
select period, (percentile_cont(0.5) within group (order by s))::float8,
       (percentile_cont(0.99) within group (order by s))::float8, count(*)
from lag
group by period
order by period;

-- name: mark
-- Changes whenever a page about publication may have.
select (select max(call) from attempt),
       (select count(*) from level where state = 'due'),
       (select count(*) from level where state = 'sending'),
       (select coalesce(string_agg(channel, '|' order by channel), '') from channel_pause);
