-- Supply that is expected, and what came in of it.

-- name: known
-- Lines of supply as they were told before: the key, then what a partner may change.
select system, document, line, kind, sku, location, quantity, due_at, of_system, of_document, of_line,
       closed_at is not null
from supply
where (system, document, line) in (
    select * from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[])
);

-- name: save
-- Keeps lines of supply as told now. A new date gives an overdue line its time again.
insert into supply (system, document, line, kind, sku, location, quantity, due_at, of_system,
                    of_document, of_line)
select system, document, line, kind, sku, location, quantity, due_at, of_system, of_document, of_line
from jsonb_to_recordset(%(rows)s::jsonb) as told (
    system text, document text, line text, kind text, sku text, location text, quantity bigint,
    due_at timestamptz, of_system text, of_document text, of_line text)
on conflict (system, document, line) do update set
    kind = excluded.kind, sku = excluded.sku, location = excluded.location,
    quantity = excluded.quantity, due_at = excluded.due_at, of_system = excluded.of_system,
    of_document = excluded.of_document, of_line = excluded.of_line, told_at = clock_timestamp(),
    overdue_at = case when supply.due_at = excluded.due_at then supply.overdue_at end,
    closed_at = null, closed_by = '', closed_why = '';

-- name: places_known
-- Which of these locations there are.
select code from location where code = any (%(codes)s::text[]);

-- name: page
-- Lines of supply below an id, the latest told first: open, closed or all, where named of a SKU, a
-- place or a system.
select supply.id, supply.system, supply.document, supply.line, supply.kind, supply.sku,
       supply.location, supply.quantity, came.units, supply.due_at, supply.of_system,
       supply.of_document, supply.of_line, supply.told_at, supply.overdue_at, supply.closed_at,
       supply.closed_by, supply.closed_why
from supply
cross join lateral (
    select case when supply.kind = 'transfer' then
        (select coalesce(sum(arrived), 0) from transfer
         where transfer.document = supply.document and transfer.sku = supply.sku)
    else
        (select coalesce(sum(receipt.quantity), 0) from supply_receipt receipt
         where receipt.system = supply.system and receipt.document = supply.document
           and receipt.line = supply.line and receipt.sku = supply.sku)
    end::bigint as units
) came
where supply.id < %(before)s
  and (%(state)s = 'all' or (supply.closed_at is null) = (%(state)s = 'open'))
  and (%(sku)s = '' or supply.sku = %(sku)s)
  and (%(location)s = '' or supply.location = %(location)s)
  and (%(system)s = '' or supply.system = %(system)s)
  and (%(document)s = '' or supply.document = %(document)s)
  and (%(line)s = '' or supply.line = %(line)s)
order by supply.id desc
limit %(limit)s;

-- name: close
-- Closes an open line of supply; its SKU and id.
update supply
set closed_at = clock_timestamp(), closed_by = %(actor)s, closed_why = %(why)s
where system = %(system)s and document = %(document)s and line = %(line)s and closed_at is null
returning sku;

-- name: lines_of_skus
-- All that is expected of these SKUs, closed notices of purchase orders that are open, and closed purchase
-- orders with open notices, with what came in, and what left of planned transfers.
select line.kind, line.system, line.document, line.line, line.sku, line.location, line.quantity,
       line.due_at,
       (select coalesce(sum(receipt.quantity), 0) from supply_receipt receipt
        where receipt.system = line.system and receipt.document = line.document
          and receipt.line = line.line and receipt.sku = line.sku)::bigint,
       line.of_system, line.of_document, line.of_line, line.closed_at is not null,
       case when line.kind = 'transfer' then
           (select coalesce(sum(transfer.sent), 0) from transfer
            where transfer.document = line.document and transfer.sku = line.sku)
       else 0 end::bigint,
       location.supply_grace_s
from supply line
join location on location.code = line.location
where line.sku = any (%(skus)s::text[])
  and (line.closed_at is null
       or exists (select from supply whole
                  where whole.system = line.of_system and whole.document = line.of_document
                    and whole.line = line.of_line and whole.closed_at is null)
       or exists (select from supply notice
                  where notice.of_system = line.system and notice.of_document = line.document
                    and notice.of_line = line.line and notice.closed_at is null))
order by line.due_at, line.system, line.document, line.line;

-- name: under_way
-- Goods of these SKUs that left one place and have not arrived at the other; the date is that of the
-- transfer, else that of its plan.
select transfer.document, transfer.sku,
       coalesce(nullif(transfer.to_location, ''), plan.location) as place,
       sum(transfer.sent - transfer.arrived - transfer.closed)::bigint,
       coalesce(transfer.eta, plan.due_at) as eta, location.supply_grace_s
from transfer
left join lateral (
    select supply.location, supply.due_at from supply
    where supply.document = transfer.document and supply.sku = transfer.sku
      and supply.kind = 'transfer'
    order by supply.due_at desc limit 1
) plan on true
join location on location.code = coalesce(nullif(transfer.to_location, ''), plan.location)
where transfer.sku = any (%(skus)s::text[]) and transfer.sent > transfer.arrived + transfer.closed
group by transfer.document, transfer.sku, place, coalesce(transfer.eta, plan.due_at),
         location.supply_grace_s
order by transfer.document, transfer.sku, place;

-- name: overdue
-- The next open lines whose date is past by more than their place allows, noted or not: (id, system,
-- document, line, sku, location, due_at, whether it was noted). They are locked: what is told of them
-- meanwhile comes after. Those that somebody tells of right now are left for the next time.
select supply.id, supply.system, supply.document, supply.line, supply.sku, supply.location,
       supply.due_at, supply.overdue_at is not null
from supply
join location on location.code = supply.location
where supply.closed_at is null
  and supply.due_at <= %(now)s
  and supply.id > %(after)s
  and (supply.overdue_at is not null
       or supply.due_at + make_interval(secs => location.supply_grace_s) <= %(now)s)
order by supply.id
limit %(limit)s
for update of supply skip locked;

-- name: note_overdue
-- Notes that these lines are overdue, and has the numbers of their SKUs computed again.
with noted as (
    update supply set overdue_at = %(now)s
    from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[])
         as late (system, document, line)
    where supply.system = late.system and supply.document = late.document
      and supply.line = late.line and supply.overdue_at is null
    returning supply.sku
)
insert into dirty (sku, sequence) select distinct sku, 0 from noted;

-- name: close_arrived
-- Closes lines of which nothing is to come any more; what they were told to bring has come.
update supply
set closed_at = %(now)s, closed_by = 'stockwright', closed_why = 'all of it came'
from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[])
     as done (system, document, line)
where supply.system = done.system and supply.document = done.document
  and supply.line = done.line and supply.closed_at is null;
