-- Expected supply: lines of purchase orders, ship notices and planned transfers.

-- name: lock_supply
-- Nobody else writes supply until this transaction ends.
select pg_advisory_xact_lock(%(lock)s);

-- name: by_key
-- The lines with these natural keys, as VIEW has them.
select id, system, document, line, kind, revision, sku, location, quantity, due_at, of_system, of_document,
       of_line, state, reason, told_at
from supply
where (system, document, line, kind) in (
    select * from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[], %(kinds)s::text[]));

-- name: page
-- Lines below an id, newest first, of a SKU, place, system, document, kind or state where named.
select id, system, document, line, kind, revision, sku, location, quantity, due_at, of_system, of_document,
       of_line, state, reason, told_at
from supply
where id < %(before)s
  and (%(sku)s = '' or sku = %(sku)s)
  and (%(location)s = '' or location = %(location)s)
  and (%(system)s = '' or system = %(system)s)
  and (%(document)s = '' or document = %(document)s)
  and (%(kind)s = '' or kind = %(kind)s)
  and (%(state)s = 'all' or state = %(state)s)
order by id desc limit %(limit)s;

-- name: write
-- Lines as they are told now; what was said of their end before is void.
insert into supply (system, document, line, kind, revision, sku, location, quantity, due_at, of_system,
                    of_document, of_line)
select system, document, line, kind, revision, sku, location, quantity, due_at, of_system, of_document, of_line
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    system text, document text, line text, kind text, revision integer, sku text, location text,
    quantity bigint, due_at timestamptz, of_system text, of_document text, of_line text)
on conflict (system, document, line, kind) do update
set revision = excluded.revision, sku = excluded.sku, location = excluded.location,
    quantity = excluded.quantity, due_at = excluded.due_at, of_system = excluded.of_system,
    of_document = excluded.of_document, of_line = excluded.of_line, state = 'expected', reason = '',
    told_at = clock_timestamp();

-- name: set_state
-- Moves a line to a state, and says why.
update supply set state = %(state)s, reason = %(reason)s where id = %(id)s;

-- name: set_states
-- Moves lines between expected and done, as follows from what came of them; the SKUs they are of.
update supply set state = given.state
from unnest(%(ids)s::bigint[], %(states)s::text[]) as given (id, state)
where supply.id = given.id and supply.state in ('expected', 'done') and supply.state <> given.state
returning supply.sku;

-- name: lines_of_skus
-- What decides about the supply of these SKUs: lines that are expected, and purchase orders and ship
-- notices that belong to one of them or to one of the names given, whatever became of them.
with open as (
    select * from supply where sku = any (%(skus)s::text[]) and state = 'expected'
), named (system, document, line) as (
    select system, document, line from open where kind = 'purchase_order'
    union select of_system, of_document, of_line from open where kind = 'ship_notice' and of_document <> ''
    union select * from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[])
), wider (system, document, line) as (
    select * from named
    union
    select notice.of_system, notice.of_document, notice.of_line
    from named join supply notice on (notice.system, notice.document, notice.line)
                                   = (named.system, named.document, named.line)
    where notice.kind = 'ship_notice' and notice.of_document <> ''
)
select id, system, document, line, kind, sku, location, quantity, due_at, of_system, of_document, of_line,
       state
from open
union
select told.id, told.system, told.document, told.line, told.kind, told.sku, told.location, told.quantity,
       told.due_at, told.of_system, told.of_document, told.of_line, told.state
from wider join supply told on (told.system, told.document, told.line)
                             = (wider.system, wider.document, wider.line)
where told.sku = any (%(skus)s::text[])
union
select told.id, told.system, told.document, told.line, told.kind, told.sku, told.location, told.quantity,
       told.due_at, told.of_system, told.of_document, told.of_line, told.state
from wider join supply told on (told.of_system, told.of_document, told.of_line)
                             = (wider.system, wider.document, wider.line)
where told.sku = any (%(skus)s::text[]) and told.of_document <> ''
order by id;

-- name: received
-- What was received of these SKUs under these names.
select sku, system, document, line, received
from supply_received
where sku = any (%(skus)s::text[])
  and (system, document, line) in (
      select * from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[]));

-- name: under_way
-- Transfers of these SKUs that are under way, or have one of these documents: (sku, document, location,
-- eta, sent, under way, excess), lots together.
select sku, document, max(to_location), max(eta), sum(sent)::bigint, sum(sent - arrived - closed)::bigint,
       sum(excess)::bigint
from transfer
where sku = any (%(skus)s::text[])
  and (sent > arrived + closed or document = any (%(documents)s::text[]))
group by sku, document
order by sku, document;

-- name: clock
-- The database's clock.
select clock_timestamp();

-- name: grace
-- How long each place believes in late supply, in seconds.
select code, supply_grace_s::float8 from location;

-- name: unsettled
-- Names under which something was received since their documents were settled: (system, document,
-- line, sku, received).
select system, document, line, sku, received
from supply_received where not settled
order by system, document, line limit %(limit)s;

-- name: settled
-- Notes that the documents of these names are settled for what was received by then.
update supply_received known set settled = true
from unnest(%(systems)s::text[], %(documents)s::text[], %(lines)s::text[], %(skus)s::text[],
            %(received)s::bigint[]) as given (system, document, line, sku, received)
where (known.system, known.document, known.line, known.sku)
    = (given.system, given.document, given.line, given.sku) and known.received = given.received;

-- name: transfers_begun
-- SKUs of planned transfers that have begun: some of them may be under way as a whole.
select distinct supply.sku
from supply join transfer on transfer.document = supply.document and transfer.sku = supply.sku
where supply.kind = 'transfer' and supply.state = 'expected'
  and (transfer.sent, transfer.excess) <> (0, 0)
limit %(limit)s;

-- name: mark_presold
-- Marks these SKUs where some channel shows supply before it is there.
insert into dirty (sku, sequence)
select distinct sku, 0 from unnest(%(skus)s::text[]) as given (sku)
where exists (select from exposure_policy where presell_days > 0);
