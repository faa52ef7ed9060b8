-- Backorders: units owed to demand lines.

-- name: unflagged
-- Which of these SKUs the ledger does not look for backorders of yet.
select sku from unnest(%(skus)s::text[]) as given (sku)
where not exists (select from backordered where backordered.sku = given.sku);

-- name: flag
-- From the next revision of the master on the ledger looks for backorders of these SKUs.
insert into backordered (sku) select distinct sku from unnest(%(skus)s::text[]) as given (sku)
on conflict do nothing;

-- name: unflag
-- The ledger need not look any more where nothing has been owed for a while; those SKUs.
delete from backordered
where since < clock_timestamp() - make_interval(secs => %(after_s)s)
  and not exists (select from backorder
                  where backorder.sku = backordered.sku and backorder.state = 'owed')
returning sku;

-- name: idle_flags
-- Whether there is a SKU that the ledger need not look for backorders of any more.
select exists (
    select from backordered
    where since < clock_timestamp() - make_interval(secs => %(after_s)s)
      and not exists (select from backorder
                      where backorder.sku = backordered.sku and backorder.state = 'owed'));

-- name: lane
-- Waits for the ledger's lane, and holds it until this transaction ends.
select pg_advisory_xact_lock(%(lane)s);

-- name: by_key
-- The backorders of these demand lines, whatever became of them.
select id, system, order_ref, line, sku, channel, demand_class, quantity, owed_since, served, cancelled,
       claimed_before, cancelled_before, state, version, revision, reason, changed_at
from backorder
where (system, order_ref, line) in (
    select * from unnest(%(systems)s::text[], %(orders)s::text[], %(lines)s::text[]));

-- name: page
-- Backorders below an id, newest first, of a SKU, channel, system, order or state where named.
select id, system, order_ref, line, sku, channel, demand_class, quantity, owed_since, served, cancelled,
       claimed_before, cancelled_before, state, version, revision, reason, changed_at
from backorder
where id < %(before)s
  and (%(sku)s = '' or sku = %(sku)s)
  and (%(channel)s = '' or channel = %(channel)s)
  and (%(system)s = '' or system = %(system)s)
  and (%(order)s = '' or order_ref = %(order)s)
  and (%(state)s = 'all' or state = %(state)s)
order by id desc limit %(limit)s;

-- name: owed
-- What is owed of these SKUs, by rank.
select id, system, order_ref, line, sku, channel, demand_class, quantity, owed_since, served, cancelled,
       claimed_before, cancelled_before, state, version
from backorder
where sku = any (%(skus)s::text[]) and state = 'owed'
order by sku, demand_class, owed_since, id;

-- name: demand
-- The counters of these demand lines: (system, order, line, sku, claimed or shipped, cancelled, state,
-- last shipments).
select line.system, line.order_ref, line.line, line.sku,
       (line.shipped + coalesce((select sum(reserved + allocated + picked) from claim
                                 where claim.line_id = line.id), 0))::bigint,
       (line.cancelled + line.cancel_unmet)::bigint, line.state, line.finals
from demand_line line
where (line.system, line.order_ref, line.line) in (
    select * from unnest(%(systems)s::text[], %(orders)s::text[], %(lines)s::text[]));

-- name: write
-- Backorders as they are told now.
insert into backorder (system, order_ref, line, revision, sku, channel, demand_class, quantity, served,
                       cancelled, claimed_before, cancelled_before, owed_since, state, reason)
select system, "order", line, revision, sku, channel, demand_class, quantity, served, cancelled,
       claimed_before, cancelled_before, owed_since, state, ''
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    system text, "order" text, line text, revision integer, sku text, channel text, demand_class integer,
    quantity bigint, served bigint, cancelled bigint, claimed_before bigint, cancelled_before bigint,
    owed_since timestamptz, state text)
on conflict (system, order_ref, line) do update
set revision = excluded.revision, sku = excluded.sku, channel = excluded.channel,
    demand_class = excluded.demand_class, quantity = excluded.quantity, served = excluded.served,
    cancelled = excluded.cancelled, claimed_before = excluded.claimed_before,
    cancelled_before = excluded.cancelled_before, owed_since = excluded.owed_since,
    state = excluded.state, reason = '', changed_at = clock_timestamp(), version = backorder.version + 1;

-- name: set_state
-- Ends a backorder that is owed, and says why; its SKU where it was.
update backorder set state = %(state)s, reason = %(reason)s, changed_at = clock_timestamp(),
                     version = version + 1
where id = %(id)s and state = 'owed'
returning sku;

-- name: clock
-- The database's clock.
select clock_timestamp();

-- name: mark
-- Levels of these SKUs must be computed again.
insert into dirty (sku, sequence) select distinct sku, 0 from unnest(%(skus)s::text[]) as given (sku);
