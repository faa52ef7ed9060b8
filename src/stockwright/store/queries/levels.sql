-- name: clock
-- The database's clock.
select clock_timestamp();

-- name: take_dirty
-- Takes marks of touched SKUs away, those other workers hold left out; one row per SKU that some
-- channel lists, perhaps in a kit, and one of SKU '' for all the others.
with taken as (
    delete from dirty
    where ctid = any (array(select ctid from dirty limit %(limit)s for update skip locked))
    returning sku, marked_at
), touched as (
    select sku, count(*) as marks, min(marked_at) as marked_at from taken group by sku
), told as (
    select case when exists (select from listing_component part where part.sku = touched.sku)
                  or exists (select from kit where kit.component = touched.sku)
                then sku else '' end as sku,
           marks, marked_at
    from touched
)
select sku, sum(marks)::bigint, min(marked_at) from told group by sku order by sku;

-- name: insert_missing
-- Makes the rows of levels that are computed for the first time; version 0 never leaves the transaction.
insert into level (channel, listing, location, desired, version, sequence, projected_at, state, lane,
                   due_at, waiting_since)
select wanted.channel, wanted.listing, '', 0, 0, 0, now(), 'due', 'increase', now(), now()
from unnest(%(channels)s::text[], %(listings)s::text[]) as wanted (channel, listing)
where not exists (select from level
                  where level.channel = wanted.channel and level.listing = wanted.listing
                    and level.location = '')
order by wanted.channel, wanted.listing
on conflict do nothing;

-- name: lock_levels
-- These levels, locked in order of key so that no two workers wait for each other.
select *
from level
where (channel, listing, location) in (
    select * from unnest(%(channels)s::text[], %(listings)s::text[], %(locations)s::text[])
)
order by channel, listing, location
for update;

-- name: next_of_channel
-- The next levels of a channel after a place, locked in order of key.
select *
from level
where channel = %(channel)s and (listing, location) > (%(listing)s collate "C", %(location)s collate "C")
order by channel, listing, location
limit %(limit)s
for update;

-- name: write_levels
-- Stores all that may change of levels that this transaction has locked.
update level
set
    desired = new.desired, version = new.version, sequence = new.sequence,
    projected_at = new.projected_at, acknowledged = new.acknowledged,
    acknowledged_version = new.acknowledged_version, acknowledged_at = new.acknowledged_at,
    call = new.call, lease_until = new.lease_until, sent = new.sent,
    sent_version = new.sent_version, sent_at = new.sent_at, doubt_low = new.doubt_low,
    doubt_high = new.doubt_high, doubt_until = new.doubt_until, state = new.state,
    lane = new.lane, due_at = new.due_at, waiting_since = new.waiting_since,
    attempts = new.attempts, last_error = new.last_error, resend = new.resend,
    stale = new.stale, slipped = new.slipped, held = new.held, rest_until = new.rest_until,
    job = new.job, job_last = new.job_last, doubted = new.doubted, short_at = new.short_at
from unnest(
    %(channel)s::text[], %(listing)s::text[], %(location)s::text[], %(desired)s::bigint[],
    %(version)s::bigint[], %(sequence)s::bigint[], %(projected_at)s::timestamptz[],
    %(acknowledged)s::bigint[], %(acknowledged_version)s::bigint[],
    %(acknowledged_at)s::timestamptz[], %(call)s::bigint[], %(lease_until)s::timestamptz[],
    %(sent)s::bigint[], %(sent_version)s::bigint[], %(sent_at)s::timestamptz[],
    %(doubt_low)s::bigint[], %(doubt_high)s::bigint[], %(doubt_until)s::timestamptz[],
    %(state)s::text[], %(lane)s::text[], %(due_at)s::timestamptz[],
    %(waiting_since)s::timestamptz[], %(attempts)s::integer[], %(last_error)s::text[],
    %(resend)s::boolean[], %(stale)s::smallint[], %(slipped)s::bigint[], %(held)s::bigint[],
    %(rest_until)s::timestamptz[], %(job)s::boolean[], %(job_last)s::boolean[],
    %(doubted)s::boolean[], %(short_at)s::timestamptz[]
) as new (
    channel, listing, location, desired, version, sequence, projected_at, acknowledged,
    acknowledged_version, acknowledged_at, call, lease_until, sent, sent_version, sent_at,
    doubt_low, doubt_high, doubt_until, state, lane, due_at, waiting_since, attempts, last_error,
    resend, stale, slipped, held, rest_until, job, job_last, doubted, short_at
)
where level.channel = new.channel and level.listing = new.listing
  and level.location = new.location;

-- name: feed_lock
-- Nobody else takes a place in the feed of changes until this transaction ends. Alone and before the
-- places are taken, so that they become visible in their order.
select pg_advisory_xact_lock(%(lock)s);

-- name: write_desired
-- Stores new desired numbers of levels that this transaction has locked, and keeps them for ever.
with changed as (
    update level
    set desired = new.desired, version = new.version, sequence = new.sequence,
        projected_at = new.projected_at, state = new.state, lane = new.lane, due_at = new.due_at,
        waiting_since = new.waiting_since, attempts = new.attempts, job = false
    from unnest(
        %(channel)s::text[], %(listing)s::text[], %(location)s::text[], %(desired)s::bigint[],
        %(version)s::bigint[], %(sequence)s::bigint[], %(projected_at)s::timestamptz[],
        %(state)s::text[], %(lane)s::text[], %(due_at)s::timestamptz[],
        %(waiting_since)s::timestamptz[], %(attempts)s::integer[], %(since)s::bigint[]
    ) as new (
        channel, listing, location, desired, version, sequence, projected_at, state, lane, due_at,
        waiting_since, attempts, since
    )
    where level.channel = new.channel and level.listing = new.listing
      and level.location = new.location
    returning level.channel, level.listing, level.location, level.sequence, level.version,
              level.desired, level.projected_at, new.since
)
insert into level_change (channel, listing, location, sequence, version, value, projected_at,
                          since_sequence, rules, after_sequence)
select changed.*, %(rules)s::bigint, head.sequence
from changed, ledger_head head where head.lane = 0;

-- name: write_reflected
-- Stores that levels, unchanged, reflect the ledger up to a newer sequence number.
update level
set sequence = %(sequence)s
from unnest(%(channels)s::text[], %(listings)s::text[], %(locations)s::text[])
     as new (channel, listing, location)
where level.channel = new.channel and level.listing = new.listing
  and level.location = new.location;

-- name: notify_channels
-- Wakes the publishers of these channels, once each, when the transaction commits.
select pg_notify('stockwright_levels', channel) from unnest(%(channels)s::text[]) as channel;

-- name: levels_of_listings
-- The levels of these listings as they are, in order of key.
select *
from level
where (channel, listing) in (select * from unnest(%(channels)s::text[], %(listings)s::text[]))
order by channel, listing, location;

-- name: due_levels
-- Levels of one lane that are due until a time: the most urgent first, of those the longest due; held
-- ones are left to their holder.
select *
from level
where channel = %(channel)s and lane = %(lane)s and state = 'due' and due_at <= %(until)s
order by urgency, due_at
limit %(limit)s
for update skip locked;

-- name: channels_with_decreases
-- Those of these channels that have a decrease due.
select asked.channel
from unnest(%(channels)s::text[]) as asked (channel)
where exists (
    select from level
    where level.channel = asked.channel and level.lane = 'decrease' and level.state = 'due'
      and level.due_at <= %(now)s
);

-- name: jobs_due
-- Levels the partner is at work on, to be asked about: longest due first.
select *
from level
where channel = %(channel)s and state = 'due' and job and due_at <= %(now)s
order by due_at
limit %(limit)s
for update skip locked;

-- name: aged_increases
-- Increases due until a time that have waited since before another, longest due first.
select *
from level
where channel = %(channel)s and state = 'due' and lane = 'increase' and due_at <= %(until)s
  and waiting_since <= %(since)s
order by urgency, due_at
limit %(limit)s
for update skip locked;

-- name: under_way
-- Calls that hold levels of these channels, levels whose holder let its lease run out, and those of
-- the channels that are sent nothing: paused, or of a connection that is not live yet. In a statement
-- after the one that locked the connection: who pauses holds the same lock.
select count(distinct call) filter (where lease_until > %(now)s),
       count(*) filter (where lease_until <= %(now)s),
       array(select channel from channel_pause where channel = any (%(channels)s::text[])
             union
             select channel.code from channel join connecting on connecting.system = channel.system
             where channel.code = any (%(channels)s::text[]) and connecting.stage <> 'live')
from level
where channel = any (%(channels)s::text[]) and state = 'sending';

-- name: abandoned_levels
-- Levels whose holder let its lease run out.
select *
from level
where channel = any (%(channels)s::text[]) and state = 'sending' and lease_until <= %(now)s
order by channel, listing, location
limit %(limit)s
for update skip locked;

-- name: next_due
-- When the next level of these channels may be sent or its lease ends; null where nothing waits.
select least(
    (select min(first.due_at)
     from unnest(%(channels)s::text[]) as asked (channel)
     cross join (values ('decrease'), ('increase')) as lanes (lane)
     cross join generate_series(0, 3) as ranks (urgency)
     cross join lateral (
         select due_at from level
         where level.channel = asked.channel and level.lane = lanes.lane
           and level.urgency = ranks.urgency and level.state = 'due'
         order by due_at limit 1
     ) first),
    (select min(lease_until) from level
     where channel = any (%(channels)s::text[]) and state = 'sending')
);

-- name: unverified_levels
-- Settled levels that were in doubt, then those not read back since their last acknowledgement, then
-- those not read back since a time, longest ago first.
select *
from level
where channel = %(channel)s and state = 'settled'
  and (verified_at is null or verified_at < acknowledged_at or verified_at < %(before)s
       or doubted)
order by not doubted, verified_at is not null and verified_at >= acknowledged_at,
         verified_at nulls first, listing
limit %(limit)s;

-- name: doubt_levels
-- Has what the channels of a system show of these listings read back before all others, and soon.
with named as materialized (
    select channel, listing, location from level
    where channel in (select code from channel where system = %(system)s)
      and listing = any(%(listings)s::text[]) and not doubted
    order by channel, listing, location
    for update
), doubted as (
    update level set doubted = true
    from named
    where level.channel = named.channel and level.listing = named.listing
      and level.location = named.location
    returning level.channel
), told as (
    select distinct channel from doubted
)
select pg_notify('stockwright_doubted', channel) from told;

-- name: write_verified
-- Stores what the channel was found to show; levels that were sent since are left out.
update level
set verified = found.shown, verified_at = %(now)s, doubted = false
from unnest(%(channels)s::text[], %(listings)s::text[], %(locations)s::text[],
            %(versions)s::bigint[], %(shown)s::bigint[])
     as found (channel, listing, location, version, shown)
where level.channel = found.channel and level.listing = found.listing
  and level.location = found.location and level.state = 'settled'
  and level.acknowledged_version = found.version;
