-- name: stock_of_skus
-- The clock, the ledger's head, the revision of the rules, and what the books say of these SKUs as of
-- that head. What a row tells: 'stock' at a place; what is 'owed' to an order line; where asked, the
-- units that a channel 'claimed', those 'open' on orders of its own system, which SKUs are kept 'by_lot', each free 'lot' of these with its last
-- day, and 'fresh' units that must stay good until a day. One statement, so that all is of one moment.
select moment_v1(), head.sequence, rules.revision, told.*
from (select coalesce(max(sequence), 0) as sequence from ledger_head) head
cross join (select coalesce(max(id), 0) as revision from revision) rules
left join (
    select 'stock' as what, sku, location, null as channel, null::date as good_until,
           null::jsonb as owed,
           sum(sellable)::bigint, sum(inspection)::bigint, sum(quarantined)::bigint,
           sum(damaged)::bigint, sum(reserved)::bigint, sum(allocated)::bigint, sum(picked)::bigint
    from balance
    where sku = any (%(skus)s::text[])
    group by sku, location
    union all
    select 'owed', sku, null, channel, null,
           jsonb_build_object(
               'system', system, 'order', order_ref, 'line', line, 'sku', sku, 'channel', channel,
               'demand_class', demand_class, 'owed', owed, 'owed_since', owed_since,
               'promoted', promoted, 'cancelled', cancelled),
           0, 0, 0, 0, 0, 0, 0
    from backorder
    where sku = any (%(skus)s::text[]) and owed > 0
    union all
    select 'claimed', claim.sku, null, line.channel, null, null,
           0, 0, 0, 0, sum(claim.reserved)::bigint, sum(claim.allocated)::bigint,
           sum(claim.picked)::bigint
    from claim
    join demand_line line on line.id = claim.line_id
    where %(claims)s and claim.sku = any (%(skus)s::text[])
      and claim.reserved + claim.allocated + claim.picked > 0
      and line.channel <> ''
    group by claim.sku, line.channel
    union all
    select 'open', sku, null, channel, null, null, sum(units)::bigint, 0, 0, 0, 0, 0, 0
    from (
        select line.sku, line.channel,
               greatest(0, sum(claim.reserved + claim.allocated + claim.picked)
                           - line.cancel_requested) as units
        from claim
        join demand_line line on line.id = claim.line_id
        join channel on channel.code = line.channel and channel.system = line.system
        where %(open)s and claim.sku = any (%(skus)s::text[])
          and claim.reserved + claim.allocated + claim.picked > 0
        group by line.id, line.sku, line.channel, line.cancel_requested
    ) ordered
    group by sku, channel
    union all
    select 'by_lot', code, null, null, null, null, 0, 0, 0, 0, 0, 0, 0
    from sku
    where %(lots)s and code = any (%(skus)s::text[]) and control <> 'none'
    union all
    select 'lot', balance.sku, balance.location, null, lot.expires_on, null,
           balance.sellable, 0, 0, 0, balance.reserved, balance.allocated, balance.picked
    from balance
    join sku on sku.code = balance.sku and sku.control <> 'none'
    left join lot on lot.sku = balance.sku and lot.code = balance.lot
    where %(lots)s and balance.sku = any (%(skus)s::text[]) and balance.lot <> ''
    union all
    select 'fresh', claim.sku, claim.location, null, line.fresh_until, null,
           0, 0, 0, 0, sum(claim.reserved)::bigint, sum(claim.allocated)::bigint,
           sum(claim.picked)::bigint
    from claim
    join demand_line line on line.id = claim.line_id
    where %(lots)s and claim.sku = any (%(skus)s::text[])
      and claim.reserved + claim.allocated + claim.picked > 0
      and claim.lot = '' and line.fresh_until is not null
    group by claim.sku, claim.location, line.fresh_until
) told on true
order by told.sku, told.location;

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
from (
    select * from entry
    where sku = %(sku)s and sequence < %(before)s
    order by sequence desc, n desc
    limit %(limit)s
) entry
-- One by one: a join may be planned through all events of the ledger.
cross join lateral (select * from event where event.sequence = entry.sequence offset 0) event
order by entry.sequence desc, entry.n desc;

-- name: ledger_sums
-- What the ledger's entries of one SKU up to a sequence number add up to, by place, account and kind
-- of event.
select moved.location, moved.account::text, event.kind, sum(moved.units)::bigint, count(*),
       min(moved.sequence), max(moved.sequence)
from (
    select sequence, to_location as location, to_account as account, quantity as units
    from entry where sku = %(sku)s and sequence <= %(upto)s
    union all
    select sequence, from_location, from_account, -quantity
    from entry where sku = %(sku)s and sequence <= %(upto)s
) moved
join event on event.sequence = moved.sequence
where moved.account in ('sellable', 'inspection', 'quarantined', 'damaged', 'reserved', 'allocated',
                        'picked')
group by moved.location, moved.account, event.kind
order by moved.location, moved.account, event.kind;
