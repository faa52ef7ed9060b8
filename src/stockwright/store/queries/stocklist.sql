-- Stock of many SKUs, as the books stood at one sequence number of the ledger.

-- name: head
-- The number of the newest event, 0 in an empty ledger.
select coalesce(max(sequence), 0) from ledger_head;

-- name: sequence_at
-- The newest event that was recorded by a time, 0 where there is none.
select coalesce(max(last_sequence), 0) from batch where recorded_at <= %(at)s;

-- name: page
-- Both books after a key, cell by cell, as they stood after event `sequence`: what they hold now,
-- less every later entry. Both are read in one statement, so that no entry is missed or taken twice,
-- and pages read at different times speak of the same moment.
with cell as materialized (
    select balance.sku, balance.location, case when %(by_lot)s then balance.lot else '' end as lot,
           sum(sellable)::bigint as sellable, sum(inspection)::bigint as inspection,
           sum(quarantined)::bigint as quarantined, sum(damaged)::bigint as damaged,
           sum(reserved)::bigint as reserved, sum(allocated)::bigint as allocated,
           sum(picked)::bigint as picked
    from balance
    join sku on sku.code = balance.sku
    where balance.sku >= %(sku)s
      and (balance.sku, balance.location, case when %(by_lot)s then balance.lot else '' end)
          > (%(sku)s, %(location)s, %(lot)s)
      and (%(skus)s::text[] is null or balance.sku = any (%(skus)s::text[]))
      and (%(locations)s::text[] is null or balance.location = any (%(locations)s::text[]))
      and (%(sku_group)s::text is null or sku.sku_group = %(sku_group)s)
    group by 1, 2, 3
    order by 1, 2, 3
    limit %(limit)s
),
later as materialized (
    select moved.sku, moved.location, moved.lot, moved.account, sum(moved.units)::bigint as units
    from (
        select entry.sku, told.location, case when %(by_lot)s then entry.lot else '' end as lot,
               told.account, told.units
        from (select distinct sku from cell) touched
        join entry on entry.sku = touched.sku and entry.sequence > %(sequence)s
        cross join lateral (
            values (entry.to_location, entry.to_account, entry.quantity),
                   (entry.from_location, entry.from_account, -entry.quantity)
        ) as told (location, account, units)
    ) moved
    group by 1, 2, 3, 4
)
select cell.sku, cell.location, cell.lot,
       cell.sellable - coalesce(sum(units) filter (where account = 'sellable'), 0)::bigint,
       cell.inspection - coalesce(sum(units) filter (where account = 'inspection'), 0)::bigint,
       cell.quarantined - coalesce(sum(units) filter (where account = 'quarantined'), 0)::bigint,
       cell.damaged - coalesce(sum(units) filter (where account = 'damaged'), 0)::bigint,
       cell.reserved - coalesce(sum(units) filter (where account = 'reserved'), 0)::bigint,
       cell.allocated - coalesce(sum(units) filter (where account = 'allocated'), 0)::bigint,
       cell.picked - coalesce(sum(units) filter (where account = 'picked'), 0)::bigint
from cell
left join later on later.sku = cell.sku and later.location = cell.location
                and later.lot = cell.lot
group by cell.sku, cell.location, cell.lot, cell.sellable, cell.inspection, cell.quarantined,
         cell.damaged, cell.reserved, cell.allocated, cell.picked
order by cell.sku, cell.location, cell.lot;
