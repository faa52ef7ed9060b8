-- What order lines are owed.

-- name: known
-- Backorders as they stand: the key, what the caller may change, whether it is closed.
select system, order_ref, line, sku, channel, demand_class, quantity, owed_since, closed_at is not null
from backorder
where (system, order_ref, line) in (
    select * from unnest(%(systems)s::text[], %(orders)s::text[], %(lines)s::text[])
);

-- name: channels
-- The class of each of these channels.
select code, demand_class from channel where code = any (%(codes)s::text[]);

-- name: save
-- Keeps what order lines are owed: what was settled stays settled. One that was closed by hand is owed
-- anew, and so is one that is settled and was owed since another time: that is another debt.
insert into backorder (system, order_ref, line, sku, channel, demand_class, quantity, owed, owed_since,
                       revision, sequence, promoted, cancelled, closed_at, closed_by)
select told.system, told."order", told.line, told.sku, told.channel, told.demand_class, told.quantity,
       greatest(0, told.quantity - kept.promoted - kept.cancelled),
       coalesce(told.owed_since, clock_timestamp()), revision_v1(), (select max(sequence) from ledger_head),
       kept.promoted, kept.cancelled,
       case when told.quantity <= kept.promoted + kept.cancelled then clock_timestamp() end,
       case when told.quantity <= kept.promoted + kept.cancelled then %(actor)s else '' end
from jsonb_to_recordset(%(rows)s::jsonb) as told (
    system text, "order" text, line text, sku text, channel text, demand_class integer,
    quantity bigint, owed_since timestamptz)
cross join lateral (
    select coalesce(sum(stood.promoted), 0)::bigint as promoted,
           coalesce(sum(stood.cancelled), 0)::bigint as cancelled
    from backorder stood
    where stood.system = told.system and stood.order_ref = told."order" and stood.line = told.line
      and (stood.closed_at is null
           or (stood.owed_since = told.owed_since and (stood.settled_by is not null or stood.closed_why = '')))
) kept
on conflict (system, order_ref, line) do update set
    sku = excluded.sku, channel = excluded.channel, demand_class = excluded.demand_class,
    quantity = excluded.quantity, owed_since = excluded.owed_since, settled_by = null,
    revision = excluded.revision, sequence = excluded.sequence, promoted = excluded.promoted,
    cancelled = excluded.cancelled, owed = excluded.owed, closed_at = excluded.closed_at,
    closed_by = excluded.closed_by, closed_why = '';

-- name: owe
-- SKUs that are owed from now on and were not before; one row each.
insert into owed_sku (sku) select distinct sku from unnest(%(skus)s::text[]) as given (sku)
on conflict do nothing
returning sku;

-- name: try_master
-- Whether nobody changes master data; then nobody does until this transaction ends.
select pg_try_advisory_xact_lock(%(lock)s);

-- name: forget_owed
-- SKUs of which nothing is owed any more; one row each.
delete from owed_sku
where not exists (select from backorder where backorder.sku = owed_sku.sku and backorder.owed > 0)
returning sku;

-- name: page
-- Backorders below an id, newest first: open, closed or all, where named of a SKU, channel or order line.
select id, system, order_ref, line, sku, channel, demand_class, quantity, owed, promoted, cancelled,
       owed_since, settled_by, closed_at, closed_by, closed_why
from backorder
where id < %(before)s
  and (%(state)s = 'all' or (closed_at is null) = (%(state)s = 'open'))
  and (%(sku)s = '' or sku = %(sku)s)
  and (%(channel)s = '' or channel = %(channel)s)
  and (%(system)s = '' or system = %(system)s)
  and (%(order)s = '' or order_ref = %(order)s)
  and (%(line)s = '' or line = %(line)s)
order by id desc
limit %(limit)s;

-- name: close
-- Closes an open backorder by hand; its SKU. No event of the ledger settled it.
update backorder
set owed = 0, cancelled = cancelled + owed, settled_by = null, closed_at = clock_timestamp(), closed_by = %(actor)s,
    closed_why = %(why)s, revision = revision_v1(), sequence = (select max(sequence) from ledger_head)
where system = %(system)s and order_ref = %(order)s and line = %(line)s and owed > 0
returning sku;
