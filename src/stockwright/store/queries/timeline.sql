-- name: timeline_cut
-- Sequences at which a SKU's books or levels changed, newest first, below `before` and until a time:
-- (sequence).
select sequence from (
    (select distinct sequence from entry
     where sku = %(sku)s and sequence < %(before)s
     order by sequence desc limit %(limit)s)
    union
    (select changed.sequence
     from listing_component c
     join level l on l.channel = c.channel and l.listing = c.listing
     cross join lateral (
         select distinct lc.sequence from level_change lc
         where lc.channel = l.channel and lc.listing = l.listing and lc.location = l.location
           and lc.sequence < %(before)s and lc.projected_at <= %(until)s
         order by lc.sequence desc limit %(limit)s
     ) changed
     where c.sku = %(sku)s)
) both_books
order by sequence desc
limit %(limit)s;

-- name: timeline_cut_of_kind
-- Sequences of events of one kind that touched a SKU, newest first, among the newest %(most)s below
-- `before`; and on every row where these end: (sequence or null, sequence or null).
with looked as materialized (
    select distinct sequence from entry
    where sku = %(sku)s and sequence < %(before)s
    order by sequence desc limit %(most)s
)
select fitting.sequence, ends.sequence
from (select case when count(*) = %(most)s then min(sequence) end as sequence from looked) ends
left join (
    select looked.sequence
    from looked
    cross join lateral (select kind from event where sequence = looked.sequence offset 0) v
    where v.kind = %(kind)s
    order by looked.sequence desc
    limit %(limit)s
) fitting on true
order by fitting.sequence desc;

-- name: timeline_kinds
-- The kinds of the newest %(most)s events below `before` that touched a SKU: (kind, events), most first.
select v.kind, count(*)
from (select distinct sequence from entry
      where sku = %(sku)s and sequence < %(before)s
      order by sequence desc limit %(most)s) looked
cross join lateral (select kind from event where sequence = looked.sequence offset 0) v
group by v.kind
order by count(*) desc, v.kind;

-- name: timeline_events
-- The events that touched a SKU between two sequences, both included, newest first; those of one kind
-- where it is not empty.
select v.sequence, v.kind, v.system, v.body ->> 'document', v.body ->> 'order',
       coalesce(v.body ->> 'order_system', v.system), v.outcome,
       v.occurred_at, v.received_at, v.recorded_at,
       e.n, e.lot, e.from_account::text, e.from_location, e.to_account::text, e.to_location,
       e.quantity
from entry e
join event v on v.sequence = e.sequence
where e.sku = %(sku)s and e.sequence between %(first)s and %(last)s
  and %(kind)s in ('', v.kind)
order by e.sequence desc, e.n
limit 2000;

-- name: timeline_levels
-- The level changes of a SKU's listings between two sequences, both included, until a time, newest first:
-- (sequence, channel, listing, location, version, value, value before, projected_at, since_sequence,
-- revision of the rules where it is another than that of the value before).
select lc.sequence, lc.channel, lc.listing, lc.location, lc.version, lc.value,
       before.value, lc.projected_at, lc.since_sequence,
       case when before.rules <> lc.rules then lc.rules end
from listing_component c
join level l on l.channel = c.channel and l.listing = c.listing
join level_change lc on lc.channel = l.channel and lc.listing = l.listing
                    and lc.location = l.location
left join lateral (
    select older.value, older.rules from level_change older
    where older.channel = lc.channel and older.listing = lc.listing
      and older.location = lc.location
      and (older.sequence, older.version) < (lc.sequence, lc.version)
    order by older.sequence desc, older.version desc limit 1
) before on true
where c.sku = %(sku)s and lc.sequence between %(first)s and %(last)s
  and lc.projected_at <= %(until)s
order by lc.sequence desc, lc.version desc
limit 2000;

-- name: free_changes
-- By how much each event up to a sequence number changed a SKU's free stock over all places, newest
-- first: (recorded_at, units).
with changed as (
    select sequence,
           sum(quantity * (
               (to_account = 'sellable')::int - (from_account = 'sellable')::int
               - (to_account in ('reserved', 'allocated', 'picked'))::int
               + (from_account in ('reserved', 'allocated', 'picked'))::int))::bigint as units
    from entry
    where sku = %(sku)s and sequence <= %(upto)s
    group by sequence
    order by sequence desc
    limit %(limit)s
)
select v.recorded_at, changed.units
from changed
cross join lateral (select recorded_at from event where sequence = changed.sequence offset 0) v
where changed.units <> 0
order by changed.sequence desc;

-- name: acknowledged_values
-- What the channels were brought to show of a SKU's plain listings until a time, in order per channel:
-- (channel, listing, finished_at, value in base units). Each listing comes with the version that it had
-- then.
select c.channel, c.listing, shown.finished_at, shown.value * c.quantity
from unnest(%(channels)s::text[], %(listings)s::text[], %(versions)s::bigint[])
     as asked (channel, listing, version)
join listing_component c on c.channel = asked.channel and c.listing = asked.listing
cross join lateral (
    select a.finished_at, a.value
    from attempt a
    where a.channel = c.channel and a.listing = c.listing and a.location = ''
      and a.outcome = 'acknowledged' and a.finished_at <= %(until)s and a.version <= asked.version
    order by a.version desc
    limit %(limit)s
) shown
where c.sku = %(sku)s
  and not exists (select 1 from listing_component other
                  where other.channel = c.channel and other.listing = c.listing
                    and other.sku <> c.sku)
order by c.channel, c.listing, shown.finished_at;
