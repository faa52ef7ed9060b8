-- The recorded past, for replaying it under another policy.

-- name: sold
-- (channel, listing, sku, group, quantity) of listings of one SKU through which a channel took
-- orders since a sequence number, a bounded number in order of key, after a key. A channel with
-- several listings of the SKU is left out: its orders do not say which one sold.
select part.channel, min(part.listing), part.sku, min(sku.sku_group), min(part.quantity)
from listing_component part
join listing on listing.channel = part.channel and listing.code = part.listing and listing.active
join sku on sku.code = part.sku
where part.channel = any (%(channels)s::text[])
  and (part.channel, part.sku) > (%(channel)s, %(sku)s)
  and exists (select from entry
              join demand_line line on line.id = entry.line_id
              where entry.sku = part.sku and entry.sequence > %(since)s
                and entry.from_account = 'unclaimed' and line.channel = part.channel)
group by part.channel, part.sku
having count(*) = 1
   and not exists (select from listing_component other
                   where other.channel = part.channel and other.listing = min(part.listing)
                     and other.sku <> part.sku)
order by part.channel, part.sku
limit %(limit)s;

-- name: first_sequence
-- The last sequence number recorded before a time.
select coalesce(max(last_sequence), 0) from batch where recorded_at < %(since)s;

-- name: free_changes
-- (sku, sequence, place, units) by which events between two sequence numbers changed what is free, in
-- order.
select entry.sku, entry.sequence, moved.place, sum(moved.units)::bigint
from entry
cross join lateral (values
    (entry.to_location, entry.quantity * ((entry.to_account = 'sellable')::int
        - (entry.to_account in ('reserved', 'allocated', 'picked'))::int)),
    (entry.from_location, entry.quantity * ((entry.from_account in ('reserved', 'allocated', 'picked'))::int
        - (entry.from_account = 'sellable')::int))
) as moved (place, units)
where entry.sku = any (%(skus)s::text[]) and entry.sequence > %(since)s
  and entry.sequence <= %(upto)s and moved.units <> 0
group by entry.sku, entry.sequence, moved.place
having sum(moved.units) <> 0
order by entry.sku, entry.sequence, moved.place;

-- name: orders
-- (channel, sku, sequence, occurred_at, units) of orders that these channels took without asking.
select line.channel, entry.sku, entry.sequence, min(entry.occurred_at), sum(entry.quantity)::bigint
from entry
join event on event.sequence = entry.sequence and event.kind = 'channel_order'
join demand_line line on line.id = entry.line_id
where entry.sku = any (%(skus)s::text[]) and entry.sequence > %(since)s
  and entry.sequence <= %(upto)s and entry.from_account = 'unclaimed'
  and line.channel = any (%(channels)s::text[])
group by line.channel, entry.sku, entry.sequence
order by entry.sequence;

-- name: shown
-- (channel, listing, at, sequence, value) of what channels acknowledged, each with the sequence number
-- that its number was told by, in order; the last one before the time begins included.
select told.channel, told.listing, told.at, told.sequence, told.value
from unnest(%(channels)s::text[], %(listings)s::text[]) as key (channel, listing)
cross join lateral (
    select attempt.channel, attempt.listing, attempt.finished_at as at, change.sequence, attempt.value
    from attempt
    join level_change change
      on change.channel = attempt.channel and change.listing = attempt.listing
     and change.location = attempt.location and change.version = attempt.version
    where attempt.channel = key.channel and attempt.listing = key.listing
      and attempt.location = '' and attempt.outcome = 'acknowledged'
      and attempt.finished_at >= coalesce(
          (select max(finished_at) from attempt before
           where before.channel = key.channel and before.listing = key.listing
             and before.location = '' and before.outcome = 'acknowledged'
             and before.finished_at < %(since)s), %(since)s)
) told
order by told.channel, told.listing, told.at;
