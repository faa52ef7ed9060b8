-- What is remembered of demand: counted from the ledger's entries, once each, in order.

-- name: lock_cursor
-- How far entries are counted and how far the ledger is; nothing where another process counts.
select cursor.sequence, cursor.since, cursor.hours, cursor.hours_as_of, head.sequence
from demand_cursor cursor, ledger_head head
where head.lane = 0
for update of cursor skip locked;

-- name: first_batch
-- Where to begin: the number before the oldest batch that still counts, and its time.
select first_sequence - 1, recorded_at
from batch where recorded_at > clock_timestamp() - make_interval(days => %(days)s)
order by recorded_at limit 1;

-- name: demand_lines
-- Demand lines recorded after one sequence number and up to another: SKU, its group, system,
-- channel, units, when it occurred, when it was recorded. A claim opened is one; goods that left
-- without a claim are one, such as a till's. Units that only change their stage or place are none.
with moved as (
    select entry.sequence, entry.sku, entry.line_id, min(entry.occurred_at) as occurred_at,
           coalesce(sum(entry.quantity) filter (
               where entry.from_account = 'unclaimed'
                 and entry.to_account in ('reserved', 'allocated', 'picked')), 0)
           - coalesce(sum(entry.quantity) filter (
               where entry.to_account = 'unclaimed'), 0) as opened,
           coalesce(sum(entry.quantity) filter (
               where entry.from_account = 'sellable' and entry.to_account = 'customer'), 0) as gone,
           coalesce(sum(entry.quantity) filter (where entry.to_account = 'fulfilled'), 0) as drawn
    from entry
    where entry.sequence > %(after)s and entry.sequence <= %(upto)s
    group by entry.sequence, entry.sku, entry.line_id
), demanded as (
    select sequence, sku, line_id, occurred_at, opened as units from moved where opened > 0
    union all
    select sequence, sku, max(line_id), min(occurred_at), sum(gone) - sum(drawn)
    from moved group by sequence, sku having sum(gone) > sum(drawn)
)
select demanded.sku, sku.sku_group, coalesce(channel.system, event.system),
       coalesce(channel.code, ''), demanded.units::bigint, demanded.occurred_at, event.recorded_at
from demanded
join sku on sku.code = demanded.sku
join event on event.sequence = demanded.sequence
left join demand_line line on line.id = demanded.line_id
left join channel on channel.code = line.channel
order by demanded.sequence;

-- name: note_skus
-- Notes when SKUs were first seen to move.
insert into demand_sku (sku, since)
select entry.sku, min(event.recorded_at)
from entry join event on event.sequence = entry.sequence
where entry.sequence > %(after)s and entry.sequence <= %(upto)s
group by entry.sku
on conflict do nothing;

-- name: move_cursor
-- Entries up to here are counted.
update demand_cursor
set sequence = %(sequence)s, since = %(since)s, hours = %(hours)s::double precision[],
    hours_as_of = %(hours_as_of)s;

-- name: seen_rows
-- The rows with these keys.
select seen.sku, seen.sku_group, seen.system, seen.channel, seen.as_of, seen.sizes
from unnest(%(skus)s::text[], %(groups)s::text[], %(systems)s::text[], %(channels)s::text[])
     as key (sku, sku_group, system, channel)
join demand_seen seen on seen.sku = key.sku and seen.sku_group = key.sku_group
                     and seen.system = key.system and seen.channel = key.channel;

-- name: write_seen
-- Stores rows, new or not.
insert into demand_seen (sku, sku_group, system, channel, as_of, lines, units, sizes)
select sku, sku_group, system, channel, as_of, lines, units, sizes::double precision[]
from unnest(%(skus)s::text[], %(groups)s::text[], %(systems)s::text[], %(channels)s::text[],
            %(as_of)s::timestamptz[], %(lines)s::double precision[],
            %(units)s::double precision[], %(sizes)s::text[])
     as given (sku, sku_group, system, channel, as_of, lines, units, sizes)
on conflict (sku, sku_group, system, channel) do update set
    as_of = excluded.as_of, lines = excluded.lines, units = excluded.units, sizes = excluded.sizes;

-- name: lags
-- How late systems tell of demand.
select system, as_of, lags from source_lag where system = any (%(systems)s::text[]);

-- name: write_lags
-- Stores how late systems tell of demand.
insert into source_lag (system, as_of, lags)
select system, as_of, lags::double precision[]
from unnest(%(systems)s::text[], %(as_of)s::timestamptz[], %(lags)s::text[])
     as given (system, as_of, lags)
on conflict (system) do update set as_of = excluded.as_of, lags = excluded.lags;

-- name: seen_of_skus
-- All that is remembered of some SKUs.
select sku, system, channel, as_of, sizes from demand_seen
where sku = any (%(skus)s::text[]) and sku_group = '';

-- name: seen_of_groups
-- All that is remembered of every group of SKUs.
select sku_group, system, channel, as_of, sizes from demand_seen where sku = '';

-- name: sizes_of_groups
-- How many active SKUs each group has.
select sku_group, count(*) from sku where active group by sku_group;

-- name: watched
-- Since when demand is counted, and the lines by hour of the week.
select since, hours from demand_cursor;

-- name: watched_skus
-- When these SKUs were first seen to move.
select sku, since from demand_sku where sku = any (%(skus)s::text[]);
