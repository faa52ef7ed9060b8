-- name: head
-- The last sequence number of the ledger, and the database's clock.
select sequence, clock_timestamp() from ledger_head where lane = 0;

-- name: cut_at
-- The last sequence number that was recorded by a time; 0 before the first.
select coalesce(max(last_sequence), 0) from batch
where recorded_at = (select max(recorded_at) from batch where recorded_at <= %(at)s);

-- name: next_places
-- SKUs with the places where they are, were, or are on their way to, after a key and in its order.
select known.sku, known.location
from (
    (select distinct balance.sku, balance.location from balance
     where (balance.sku, balance.location) > (%(sku)s, %(location)s)
       and (%(skus)s::text[] is null or balance.sku = any (%(skus)s::text[]))
       and (%(locations)s::text[] is null or balance.location = any (%(locations)s::text[]))
       and (%(groups)s::text[] is null
            or exists (select from sku where sku.code = balance.sku
                         and sku.sku_group = any (%(groups)s::text[])))
     order by balance.sku, balance.location limit %(limit)s)
    union
    (select distinct transfer.sku, transfer.to_location from transfer
     where (transfer.sku, transfer.to_location) > (%(sku)s, %(location)s)
       and (%(skus)s::text[] is null or transfer.sku = any (%(skus)s::text[]))
       and (%(locations)s::text[] is null or transfer.to_location = any (%(locations)s::text[]))
       and (%(groups)s::text[] is null
            or exists (select from sku where sku.code = transfer.sku
                         and sku.sku_group = any (%(groups)s::text[])))
     order by transfer.sku, transfer.to_location limit %(limit)s)
) known
order by known.sku, known.location
limit %(limit)s;

-- name: vectors_at
-- The books of these SKUs at these places as of a cut through the ledger: what they hold now, less every
-- entry above `floor` that lies beyond the cut (recorded after `cut`, or dated after `at`). Balances and
-- entries are of one snapshot, so the answer is that of the cut whatever is recorded meanwhile.
with wanted as (
    select * from unnest(%(skus)s::text[], %(locations)s::text[]) as wanted (sku, location)
), beyond as (
    select entry.sku, entry.lot, entry.transfer, side.account, side.location, side.units
    from entry
    cross join lateral (values (entry.to_account, entry.to_location, -entry.quantity),
                               (entry.from_account, entry.from_location, entry.quantity)
                       ) as side (account, location, units)
    where entry.sku = any (%(skus)s::text[]) and entry.sequence > %(floor)s
      and (entry.sequence > %(cut)s or entry.occurred_at > %(at)s::timestamptz)
), part as (
    select balance.sku, balance.location, balance.lot, balance.sellable, balance.inspection,
           balance.quarantined, balance.damaged, 0::bigint as in_transit, balance.reserved,
           balance.allocated, balance.picked
    from wanted
    join balance on balance.sku = wanted.sku and balance.location = wanted.location
    union all
    select transfer.sku, transfer.to_location, transfer.lot, 0, 0, 0, 0,
           transfer.sent - transfer.arrived - transfer.closed, 0, 0, 0
    from wanted
    join transfer on transfer.sku = wanted.sku and transfer.to_location = wanted.location
    union all
    select beyond.sku, beyond.location, beyond.lot,
           case beyond.account when 'sellable' then units else 0 end,
           case beyond.account when 'inspection' then units else 0 end,
           case beyond.account when 'quarantined' then units else 0 end,
           case beyond.account when 'damaged' then units else 0 end,
           0,
           case beyond.account when 'reserved' then units else 0 end,
           case beyond.account when 'allocated' then units else 0 end,
           case beyond.account when 'picked' then units else 0 end
    from wanted
    join beyond on beyond.sku = wanted.sku and beyond.location = wanted.location
    where beyond.account in ('sellable', 'inspection', 'quarantined', 'damaged', 'reserved',
                             'allocated', 'picked')
    union all
    select beyond.sku, transfer.to_location, beyond.lot, 0, 0, 0, 0, beyond.units, 0, 0, 0
    from beyond
    join transfer on transfer.document = beyond.transfer and transfer.sku = beyond.sku
                 and transfer.lot = beyond.lot
    join wanted on wanted.sku = beyond.sku and wanted.location = transfer.to_location
    where beyond.account = 'in_transit'
)
select sku, location, case when %(lots)s then lot else '' end as its_lot,
       sum(sellable)::bigint, sum(inspection)::bigint, sum(quarantined)::bigint,
       sum(damaged)::bigint, sum(in_transit)::bigint, sum(reserved)::bigint,
       sum(allocated)::bigint, sum(picked)::bigint
from part
group by sku, location, its_lot
having sum(sellable) <> 0 or sum(inspection) <> 0 or sum(quarantined) <> 0 or sum(damaged) <> 0
    or sum(in_transit) <> 0 or sum(reserved) <> 0 or sum(allocated) <> 0 or sum(picked) <> 0
order by sku, location, its_lot;

-- name: sku_exists
-- One row where the item master has the SKU.
select from sku where code = %(sku)s;
