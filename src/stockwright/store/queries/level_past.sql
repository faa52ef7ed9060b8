-- What levels were at a time, and the moments at which an item changed.

-- name: listed
-- The listings that one SKU is part of: (channel, listing, quantity, whether its channel is told).
select part.channel, part.listing, part.quantity, system.connector <> ''
from listing_component part
join channel on channel.code = part.channel
join system on system.code = channel.system
where part.sku = %(sku)s
order by part.channel, part.listing;

-- name: levels_at
-- What is known of each of these listings as of a time, by key: (channel, listing; value, version,
-- sequence, projected_at; call, version, value, started_at, deadline, finished_at, outcome and detail of the
-- newest attempt; value, version and time acknowledged last; time and number found otherwise since; until
-- when a number is or was in doubt that no later call has settled; tries since the last that was acknowledged; what was read back, first and
-- last). A level's versions only rise, so the next change bounds the attempts to look at.
select asked.channel, asked.listing,
       told.value, told.version, told.sequence, told.projected_at,
       newest.call, newest.version, newest.value, newest.started_at, newest.deadline,
       newest.finished_at, newest.outcome, newest.detail,
       taken.value, taken.version, taken.finished_at,
       found.at, found.shown, found.why,
       tried.until, coalesce(tried.tries, 0),
       seen.first_at, seen.last_at, seen.shown
from unnest(%(channels)s::text[], %(listings)s::text[]) as asked (channel, listing)
cross join lateral (
    select value, version, sequence, projected_at
    from level_change
    where channel = asked.channel and listing = asked.listing and location = ''
      and sequence <= %(sequence)s and projected_at <= %(at)s
    order by sequence desc, version desc limit 1
) told
cross join lateral (
    select coalesce((
        select version from level_change
        where channel = asked.channel and listing = asked.listing and location = ''
          and (sequence, version) > (told.sequence, told.version)
        order by sequence, version limit 1), 9223372036854775807) as version
) next
left join lateral (
    select call, version, value, started_at, deadline,
           case when finished_at <= %(at)s then finished_at end as finished_at,
           case when finished_at <= %(at)s then outcome end as outcome, detail
    from attempt
    where channel = asked.channel and listing = asked.listing and location = ''
      and version < next.version and started_at <= %(at)s
    order by version desc, call desc limit 1
) newest on true
left join lateral (
    select value, version, finished_at
    from attempt
    where channel = asked.channel and listing = asked.listing and location = ''
      and version < next.version and outcome = 'acknowledged' and finished_at <= %(at)s
    order by version desc, finished_at desc limit 1
) taken on true
left join lateral (
    select at, shown, why
    from level_found
    where channel = asked.channel and listing = asked.listing and location = '' and at <= %(at)s
    order by at desc limit 1
) found on true
left join lateral (
    select max(doubt_until) filter (
               where doubt_until > coalesce(applied_at, '-infinity')
                 and ((outcome = 'doubtful' and finished_at <= %(at)s)
                      or (outcome is null and deadline <= %(at)s))) as until,
           count(*) filter (
               where started_at > coalesce(taken.finished_at, '-infinity') and finished_at <= %(at)s
                 and outcome in ('retry', 'doubtful', 'superseded')) as tries
    from (select *, max(started_at) filter (where outcome in ('acknowledged', 'superseded')
                                              and finished_at <= %(at)s) over () as applied_at
          from (select * from attempt
                where channel = asked.channel and listing = asked.listing and location = ''
                  and version < next.version and started_at <= %(at)s
                order by version desc, call desc limit 50) newest) recent
) tried on true
left join lateral (
    select first_at, last_at, shown
    from level_seen
    where channel = asked.channel and listing = asked.listing and location = ''
      and first_at <= %(at)s
    order by first_at desc limit 1
) seen on true
order by asked.channel, asked.listing;

-- name: seen_before
-- What one listing was read back to show up to a time, newest first: (first_at, last_at, shown).
select first_at, least(last_at, %(at)s), shown
from level_seen
where channel = %(channel)s and listing = %(listing)s and location = '' and first_at <= %(at)s
order by first_at desc
limit %(limit)s;

-- name: found_before
-- What one channel was found to show otherwise than it was sent up to a time, newest first: (at, shown,
-- why).
select at, shown, why
from level_found
where channel = %(channel)s and listing = %(listing)s and location = '' and at <= %(at)s
order by at desc
limit %(limit)s;

-- name: moments_before
-- The last moments up to a time at which a SKU's books or levels changed, newest first. sequence and
-- version are where the ledger and each level were then.
with asked as (
    select * from unnest(%(channels)s::text[], %(listings)s::text[], %(versions)s::bigint[])
        as asked (channel, listing, version)
), moved as (
    (select distinct sequence from entry
     where sku = %(sku)s and sequence <= %(sequence)s
     order by sequence desc limit %(limit)s)
), happened as (
    select told.recorded_at as at
    from moved
    cross join lateral (select recorded_at from event where sequence = moved.sequence offset 0) told
    union
    select changed.projected_at
    from asked
    cross join lateral (
        select projected_at from level_change
        where channel = asked.channel and listing = asked.listing and location = ''
          and sequence <= %(sequence)s and projected_at <= %(at)s
        order by sequence desc, version desc limit %(limit)s
    ) changed
    union
    select unnest(array[tried.started_at, tried.finished_at])
    from asked
    cross join lateral (
        select started_at, finished_at from attempt
        where channel = asked.channel and listing = asked.listing and location = ''
          and version <= asked.version
        order by version desc limit %(limit)s
    ) tried
    union
    select seen.first_at
    from asked
    cross join lateral (
        select first_at from level_seen
        where channel = asked.channel and listing = asked.listing and location = ''
          and first_at <= %(at)s
        order by first_at desc limit %(limit)s
    ) seen
)
select at from happened where at <= %(at)s order by at desc limit %(limit)s;

-- name: moments_after
-- The next moments after a time at which a SKU's books or levels changed, in order.
with asked as (
    select * from unnest(%(channels)s::text[], %(listings)s::text[], %(versions)s::bigint[])
        as asked (channel, listing, version)
), moved as (
    (select distinct sequence from entry
     where sku = %(sku)s and sequence > %(sequence)s
     order by sequence limit %(limit)s)
), happened as (
    select told.recorded_at as at
    from moved
    cross join lateral (select recorded_at from event where sequence = moved.sequence offset 0) told
    union
    select changed.projected_at
    from asked
    cross join lateral (
        -- Few: a number is computed soon after the entries it reflects.
        (select projected_at from (
             select projected_at from level_change
             where channel = asked.channel and listing = asked.listing and location = ''
               and sequence <= %(sequence)s
             order by sequence desc, version desc limit %(limit)s) reflecting
         where projected_at > %(at)s)
        union all
        (select projected_at from level_change
         where channel = asked.channel and listing = asked.listing and location = ''
           and sequence > %(sequence)s
         order by sequence, version limit %(limit)s)
    ) changed
    union
    select unnest(array[tried.started_at, tried.finished_at])
    from asked
    cross join lateral (
        select started_at, finished_at from attempt
        where channel = asked.channel and listing = asked.listing and location = ''
          and version >= asked.version
        order by version limit %(limit)s
    ) tried
    union
    select seen.first_at
    from asked
    cross join lateral (
        select first_at from level_seen
        where channel = asked.channel and listing = asked.listing and location = ''
          and first_at > %(at)s
        order by first_at limit %(limit)s
    ) seen
)
select at from happened where at > %(at)s order by at limit %(limit)s;
