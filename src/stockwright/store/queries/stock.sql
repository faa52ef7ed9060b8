-- name: stock_of_skus
-- The database's clock, the ledger's head, and what the books say of these SKUs at each place as of
-- that head.
select clock_timestamp(), head.sequence, cell.*
from (select coalesce(max(sequence), 0) as sequence from ledger_head) head
left join (
    select sku, location,
           sum(sellable)::bigint, sum(inspection)::bigint, sum(quarantined)::bigint,
           sum(damaged)::bigint, sum(reserved)::bigint, sum(allocated)::bigint, sum(picked)::bigint
    from balance
    where sku = any (%(skus)s::text[])
    group by sku, location
) cell on true
order by cell.sku, cell.location;

-- name: channel_claims
-- Open units that each channel claims of these SKUs.
select line.channel, claim.sku, sum(claim.reserved + claim.allocated + claim.picked)::bigint
from claim
join demand_line line on line.id = claim.line_id
where claim.sku = any (%(skus)s::text[])
  and claim.reserved + claim.allocated + claim.picked > 0
  and line.channel <> ''
group by line.channel, claim.sku;

-- name: open_claims
-- Units of one SKU that are promised and not yet gone, by place, then oldest demand line first.
select line.system, line.order_ref, line.line, line.channel, line.state, line.expires_at,
       claim.location, claim.lot, claim.reserved, claim.allocated, claim.picked
from claim
join demand_line line on line.id = claim.line_id
where claim.sku = %(sku)s and claim.reserved + claim.allocated + claim.picked > 0
order by claim.location, line.id, claim.lot
limit %(limit)s;

-- name: ledger_before
-- The ledger's entries of one SKU before a sequence number, newest first.
select entry.sequence, entry.n, event.kind, event.system, event.occurred_at, event.recorded_at,
       entry.lot, entry.from_account::text, entry.from_location, entry.to_account::text,
       entry.to_location, entry.quantity
from entry
join event on event.sequence = entry.sequence
where entry.sku = %(sku)s and entry.sequence < %(before)s
order by entry.sequence desc, entry.n desc
limit %(limit)s;

-- name: ledger_sums
-- What the ledger's entries of one SKU add up to, by place, account and kind of event.
select moved.location, moved.account::text, event.kind, sum(moved.units)::bigint, count(*),
       min(moved.sequence), max(moved.sequence)
from (
    select sequence, to_location as location, to_account as account, quantity as units
    from entry where sku = %(sku)s
    union all
    select sequence, from_location, from_account, -quantity from entry where sku = %(sku)s
) moved
join event on event.sequence = moved.sequence
where moved.account in ('sellable', 'inspection', 'quarantined', 'damaged', 'reserved', 'allocated',
                        'picked')
group by moved.location, moved.account, event.kind
order by moved.location, moved.account, event.kind;

-- name: quantities
-- All that decides about some SKUs in one row at one moment: the master's revision, the clock, the
-- ledger's head, and as JSON the listings that have one of them as a component (with what their
-- channel acknowledged), what the active ones consist of, the group of every SKU meant, its stock
-- by place, and, where ring-fences count them, the open units each channel claims.
with asked as materialized (
    select part.sku, part.channel, part.listing
    from listing_component part
    where part.sku = any (%(skus)s::text[])
      and (%(channel)s::text is null or part.channel = %(channel)s)
),
parts as materialized (
    select part.channel, part.listing, part.sku, part.quantity
    from (select distinct channel, listing from asked) wanted
    join listing on listing.channel = wanted.channel and listing.code = wanted.listing
                and listing.active
    join listing_component part on part.channel = wanted.channel and part.listing = wanted.listing
),
meant as materialized (
    select unnest(%(skus)s::text[]) as sku union select sku from parts
)
select
    (select revision from master_revision),
    clock_timestamp(),
    (select coalesce(max(sequence), 0) from ledger_head),
    (select json_agg(json_build_array(asked.sku, asked.channel, asked.listing, level.acknowledged)
                     order by asked.sku, asked.channel, asked.listing)::text
     from asked
     left join level on level.channel = asked.channel and level.listing = asked.listing
                    and level.location = ''),
    (select json_agg(json_build_array(channel, listing, sku, quantity)
                     order by channel, listing, sku)::text
     from parts),
    (select json_object_agg(sku.code, sku.sku_group)::text
     from meant join sku on sku.code = meant.sku),
    (select json_agg(json_build_array(sku, location, sellable, inspection, quarantined, damaged,
                                      reserved, allocated, picked) order by sku, location)::text
     from (
         select balance.sku, location, sum(sellable)::bigint as sellable,
                sum(inspection)::bigint as inspection, sum(quarantined)::bigint as quarantined,
                sum(damaged)::bigint as damaged, sum(reserved)::bigint as reserved,
                sum(allocated)::bigint as allocated, sum(picked)::bigint as picked
         from meant join balance on balance.sku = meant.sku
         group by balance.sku, location
     ) cell),
    case when %(fenced)s then
        (select json_agg(json_build_array(channel, sku, units))::text
         from (
             select line.channel, claim.sku,
                    sum(claim.reserved + claim.allocated + claim.picked)::bigint as units
             from meant join claim on claim.sku = meant.sku
             join demand_line line on line.id = claim.line_id
             where claim.reserved + claim.allocated + claim.picked > 0 and line.channel <> ''
             group by line.channel, claim.sku
         ) claimed)
    end;
