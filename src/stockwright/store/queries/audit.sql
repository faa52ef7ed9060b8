-- The proofs of the audit. Each `check_` answers one row: how many rows it looked at, how many
-- findings there are, and the first of them in words. All run in one snapshot, after the rollups.

-- name: begin
-- One snapshot for every proof; a long audit is neither stopped nor in anybody's way.
set transaction isolation level repeatable read;

-- name: limits
-- The proofs may take minutes on a large ledger, and sort much.
select set_config('statement_timeout', '0', true),
       set_config('idle_in_transaction_session_timeout', '0', true),
       set_config('work_mem', '64MB', true);

-- name: roll_up_flows
-- The ledger in one pass: units per SKU, lot and pair of accounts and places.
create temp table audit_flow on commit drop as
select sku, lot, from_account, from_location, to_account, to_location,
       sum(quantity) as units, count(*) as entries
from entry
group by sku, lot, from_account, from_location, to_account, to_location;

-- name: roll_up_claims
-- What each demand line's claims must be, from the entries that name the line.
create temp table audit_claim on commit drop as
select line_id, location, lot, sku,
       sum(units) filter (where account = 'reserved') as reserved,
       sum(units) filter (where account = 'allocated') as allocated,
       sum(units) filter (where account = 'picked') as picked
from (
    select line_id, to_location as location, lot, sku, to_account as account, quantity as units
    from entry where to_account in ('reserved', 'allocated', 'picked')
    union all
    select line_id, from_location, lot, sku, from_account, -quantity
    from entry where from_account in ('reserved', 'allocated', 'picked')
) as moves
group by line_id, location, lot, sku;

-- name: rebuild_balances
-- The balances as the ledger alone makes them.
create temp table audit_balance on commit drop as
select sku, location, lot,
       coalesce(sum(units) filter (where account = 'sellable'), 0)::bigint as sellable,
       coalesce(sum(units) filter (where account = 'inspection'), 0)::bigint as inspection,
       coalesce(sum(units) filter (where account = 'quarantined'), 0)::bigint as quarantined,
       coalesce(sum(units) filter (where account = 'damaged'), 0)::bigint as damaged,
       coalesce(sum(units) filter (where account = 'reserved'), 0)::bigint as reserved,
       coalesce(sum(units) filter (where account = 'allocated'), 0)::bigint as allocated,
       coalesce(sum(units) filter (where account = 'picked'), 0)::bigint as picked
from (
    select sku, to_location as location, lot, to_account as account, units from audit_flow
    union all
    select sku, from_location, lot, from_account, -units from audit_flow
) as moves
where account in ('sellable', 'inspection', 'quarantined', 'damaged',
                  'reserved', 'allocated', 'picked')
group by sku, location, lot;

-- name: check_sequence
-- Events are numbered without a hole from 1 to the ledger's head.
with numbered as (
    select sequence, lag(sequence, 1, 0::bigint) over (order by sequence) as previous from event
), ends as (
    select (select coalesce(max(sequence), 0) from ledger_head) as head,
           (select coalesce(max(sequence), 0) from event) as last
), finding (words) as (
    select format('after event %s comes event %s', previous, sequence)
    from numbered where sequence <> previous + 1
    union all
    select format('the head of the ledger is %s, its last event %s', head, last)
    from ends where head <> last
)
select (select count(*) from event), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_batches
-- Batches follow each other without a gap, up to the ledger's head.
with numbered as (
    select first_sequence, last_sequence,
           lag(last_sequence, 1, 0::bigint) over (order by last_sequence) as previous
    from batch
), finding (words) as (
    select format('the batch after %s runs from %s to %s', previous, first_sequence, last_sequence)
    from numbered where first_sequence <> previous + 1 or last_sequence < first_sequence
    union all
    select format('the head of the ledger is %s, its last batch ends at %s', head, last)
    from (select (select coalesce(max(sequence), 0) from ledger_head) as head,
                 (select coalesce(max(last_sequence), 0) from batch) as last) as ends
    where head <> last
)
select (select count(*) from batch), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_identities
-- Every event has exactly one identity with the same outcome, and every identity its event.
with counted as (
    select sequence, count(*) as keys, min(key) as key, min(outcome) as outcome
    from identity group by sequence
), finding (words) as (
    select case
        when i.sequence is null then format('event %s has no identity', e.sequence)
        when e.sequence is null then format('identity %s names event %s, which is not there', i.key, i.sequence)
        when i.keys > 1 then format('event %s has %s identities, one is %s', e.sequence, i.keys, i.key)
        else format('event %s says %s, its identity %s', e.sequence, e.outcome, i.outcome)
    end
    from counted as i full join event as e using (sequence)
    where i.sequence is null or e.sequence is null or i.keys > 1 or i.outcome <> e.outcome
)
select (select count(*) from identity), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_entries
-- Every entry belongs to an event, and the entries of an event are numbered from 1.
with counted as (
    select sequence, count(*) as entries, min(n) as first, max(n) as last
    from entry group by sequence
), finding (words) as (
    select case
        when e.sequence is null then format('entries of %s have no event', c.sequence)
        else format('event %s has %s entries, numbered %s to %s', c.sequence, c.entries, c.first, c.last)
    end
    from counted as c left join event as e using (sequence)
    where e.sequence is null or c.first <> 1 or c.last <> c.entries
)
select (select coalesce(sum(entries), 0)::bigint from counted), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_shapes
-- Every entry moves goods or a promise, with a place wherever its account has one.
with finding (words) as (
    select format('%s units of %s from %s at "%s" to %s at "%s"',
                  units, sku, from_account, from_location, to_account, to_location)
    from audit_flow
    where (from_account in ('unclaimed', 'reserved', 'allocated', 'picked', 'fulfilled'))
       <> (to_account in ('unclaimed', 'reserved', 'allocated', 'picked', 'fulfilled'))
       or (from_location = '' and from_account in ('sellable', 'inspection', 'quarantined',
                                                   'damaged', 'reserved', 'allocated', 'picked'))
       or (to_location = '' and to_account in ('sellable', 'inspection', 'quarantined',
                                               'damaged', 'reserved', 'allocated', 'picked'))
)
select (select coalesce(sum(entries), 0)::bigint from audit_flow),
       (select count(*) from finding), array(select words from finding limit 5);

-- name: check_conservation
-- Per SKU: what came from outside and did not go back is in the buckets or under way.
with outside as (
    select sku,
           coalesce(sum(units) filter (where from_account in ('supplier', 'customer', 'adjustment', 'scrap')), 0)
         - coalesce(sum(units) filter (where to_account in ('supplier', 'customer', 'adjustment', 'scrap')), 0)
           as units
    from audit_flow group by sku
), inside as (
    select sku, sum(units) as units from (
        select sku, sellable + inspection + quarantined + damaged as units from balance
        union all
        select sku, sent - arrived - closed from transfer
    ) as held group by sku
), finding (words) as (
    select format('%s: %s units came in, %s are held', sku,
                  coalesce(o.units, 0), coalesce(i.units, 0))
    from outside as o full join inside as i using (sku)
    where coalesce(o.units, 0) <> coalesce(i.units, 0)
)
select (select count(*) from outside), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_balances
-- Every balance, bucket by bucket and claim by claim, is the sum of its entries.
with finding (words) as (
    select format('%s at %s lot "%s": balance %s, ledger %s', sku, location, lot,
                  coalesce(b.cells, 'none'), coalesce(r.cells, 'none'))
    from (select sku, location, lot, concat_ws('/', sellable, inspection, quarantined, damaged,
                                                reserved, allocated, picked) as cells
          from balance) as b
    full join (select sku, location, lot, concat_ws('/', sellable, inspection, quarantined, damaged,
                                                     reserved, allocated, picked) as cells
          from audit_balance) as r using (sku, location, lot)
    where coalesce(b.cells, '0/0/0/0/0/0/0') <> coalesce(r.cells, '0/0/0/0/0/0/0')
)
select (select count(*) from balance), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_claims
-- Every claim is the sum of the entries that name its demand line.
with finding (words) as (
    select format('demand line %s at %s lot "%s": claim %s, ledger %s', line_id, location, lot,
                  coalesce(c.cells, 'none'), coalesce(r.cells, 'none'))
    from (select line_id, location, lot, sku,
                 concat_ws('/', reserved, allocated, picked) as cells from claim) as c
    full join (select coalesce(line_id, -1) as line_id, location, lot, sku,
                      concat_ws('/', coalesce(reserved, 0), coalesce(allocated, 0),
                                coalesce(picked, 0)) as cells from audit_claim) as r
         using (line_id, location, lot, sku)
    where coalesce(c.cells, '0/0/0') <> coalesce(r.cells, '0/0/0')
)
select (select count(*) from claim), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_promises
-- What the balances say is promised is what the claims add up to, place by place.
with finding (words) as (
    select format('%s at %s lot "%s": balance %s, claims %s', sku, location, lot,
                  coalesce(b.cells, 'none'), coalesce(c.cells, 'none'))
    from (select sku, location, lot, concat_ws('/', reserved, allocated, picked) as cells
          from balance) as b
    full join (select sku, location, lot,
                      concat_ws('/', sum(reserved), sum(allocated), sum(picked)) as cells
               from claim group by sku, location, lot) as c using (sku, location, lot)
    where coalesce(b.cells, '0/0/0') <> coalesce(c.cells, '0/0/0')
)
select (select count(*) from balance), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_demand
-- No demand line claims more than remains to be shipped, or another SKU than its own, or has cancelled what was shipped.
with finding (words) as (
    select format('demand line %s (%s %s line %s) claims %s units, %s remain', d.id, d.system,
                  d.order_ref, d.line, c.units,
                  greatest(0, greatest(d.ordered, d.picked) - d.shipped - d.cancelled))
    from demand_line as d
    join (select line_id, sum(reserved + allocated + picked) as units, min(sku) as first_sku,
                 max(sku) as last_sku from claim group by line_id) as c on c.line_id = d.id
    where c.units > case when d.finals > 0 then 0
                    else greatest(0, greatest(d.ordered, d.picked) - d.shipped - d.cancelled) end
       or c.first_sku <> d.sku or c.last_sku <> d.sku
    union all
    select format('demand line %s (%s %s line %s) cancelled %s and asked to cancel %s of %s, %s shipped', id,
                  system, order_ref, line, cancelled, cancel_requested, ordered, shipped)
    from demand_line
    where cancelled + cancel_requested
          > greatest(0, case when ordered > 0 then ordered else picked end - shipped)
)
select (select count(*) from demand_line), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_fulfilment
-- What a demand line says was shipped and returned is what its entries fulfilled and brought back.
with moved as (
    select line_id,
           sum(case when to_account = 'fulfilled' then quantity when from_account = 'fulfilled' then -quantity
               else 0 end) as shipped,
           sum(case when from_account = 'customer' and to_account = 'inspection' then quantity
                    when from_account = 'inspection' and to_account = 'customer' then -quantity
               else 0 end) as returned
    from entry where line_id is not null group by line_id
), finding (words) as (
    select format('demand line %s (%s %s line %s) has shipped %s and returned %s, its entries say %s and %s',
                  coalesce(d.id, m.line_id), d.system, d.order_ref, d.line, d.shipped, d.returned,
                  coalesce(m.shipped, 0), coalesce(m.returned, 0))
    from demand_line as d full join moved as m on m.line_id = d.id
    where d.id is null or d.shipped <> coalesce(m.shipped, 0) or d.returned <> coalesce(m.returned, 0)
)
select (select count(*) from demand_line), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_transitions
-- The transitions of a demand line are numbered from 1 and end at its state, each by an event.
with counted as (
    select line_id, count(*) as made, min(n) as first, max(n) as last,
           (array_agg(state order by n desc))[1] as state,
           count(*) filter (where not exists (
               select from event where event.sequence = transition.sequence)) as unfounded
    from transition group by line_id
), finding (words) as (
    select case
        when d.id is null then format('transitions of demand line %s, which is not there', t.line_id)
        when t.unfounded > 0 then format('demand line %s made a transition by no event', d.id)
        else format('demand line %s is %s after %s transitions; recorded are %s, numbered %s to %s, ending %s',
                    d.id, d.state, d.transitions, coalesce(t.made, 0), t.first, t.last, t.state)
    end
    from demand_line as d full join counted as t on t.line_id = d.id
    where d.id is null or t.unfounded > 0 or d.transitions <> coalesce(t.made, 0)
       or (t.made > 0 and (t.first <> 1 or t.last <> t.made or t.state <> d.state))
)
select (select coalesce(sum(made), 0)::bigint from counted), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_transfers
-- What a transfer says is under way is what the ledger has in transit under its document.
with moved as (
    select transfer as document, sku, lot,
           sum(case when to_account = 'in_transit' then quantity else -quantity end) as units
    from entry
    where (to_account = 'in_transit') <> (from_account = 'in_transit')
    group by transfer, sku, lot
), finding (words) as (
    select format('transfer %s of %s lot "%s": %s under way, ledger %s',
                  document, sku, lot, coalesce(t.sent - t.arrived - t.closed, 0), coalesce(m.units, 0))
    from transfer as t full join moved as m using (document, sku, lot)
    where coalesce(t.sent - t.arrived - t.closed, 0) <> coalesce(m.units, 0)
       or coalesce(m.units, 0) < 0
)
select (select count(*) from transfer), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_backorders
-- What an order line is owed is what was asked less what it got or gave up, its history ends there, and the ledger looks for it.
with told as (
    select distinct on (id) * from history.backorder order by id, n desc
), finding (words) as (
    select format('backorder %s %s/%s of %s: owed %s, of %s asked %s promoted, %s cancelled',
                  b.system, b.order_ref, b.line, b.sku, b.owed, b.quantity, b.promoted, b.cancelled)
    from backorder as b
    where b.owed > 0 and b.owed <> b.quantity - b.promoted - b.cancelled
    union all
    select format('backorder %s %s/%s of %s: owed %s, its history ends with %s',
                  b.system, b.order_ref, b.line, b.sku, b.owed, coalesce(told.owed::text, 'nothing'))
    from backorder as b left join told using (id)
    where (b.sku, b.quantity, b.owed, b.promoted, b.cancelled)
          is distinct from (told.sku, told.quantity, told.owed, told.promoted, told.cancelled)
    union all
    select format('backorder %s %s/%s of %s: settled by event %s, which there is not',
                  b.system, b.order_ref, b.line, b.sku, b.settled_by)
    from backorder as b
    where b.settled_by is not null
      and not exists (select from event where event.sequence = b.settled_by)
    union all
    select format('SKU %s: %s owed, and the ledger does not look for it', sku, sum(owed))
    from backorder where owed > 0
    group by sku
    having not exists (select from owed_sku where owed_sku.sku = backorder.sku)
)
select (select count(*) from backorder), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: check_grants
-- Every grant was covered: the free units after it, computed again, are as noted and not negative.
with cell (sequence, n, sku, location, change, noted) as (
    select sequence, n, sku, to_location,
           case when to_account = 'sellable' then quantity else -quantity end, free_after
    from entry where to_account in ('sellable', 'reserved', 'allocated', 'picked')
    union all
    select sequence, n, sku, from_location,
           case when from_account = 'sellable' then -quantity else quantity end, null
    from entry where from_account in ('sellable', 'reserved', 'allocated', 'picked')
), entry_change as (
    select sequence, n, sku, location, sum(change) as change, max(noted) as noted
    from cell group by sequence, n, sku, location
), running as (
    select sequence, n, sku, location, noted,
           sum(change) over (partition by sku, location order by sequence, n) as free
    from entry_change
), finding (words) as (
    select format('entry %s/%s granted %s at %s with %s free after it; the ledger says %s',
                  sequence, n, sku, location, noted, free)
    from running where noted is not null and (noted < 0 or noted <> free)
)
select (select count(*) from running where noted is not null), (select count(*) from finding),
       array(select words from finding limit 5);

-- name: stored_balances
-- The balances in canonical form: ordered by code, empty ones left out, without the write guard.
select sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked
from balance
where (sellable, inspection, quarantined, damaged, reserved, allocated, picked)
      <> (0, 0, 0, 0, 0, 0, 0)
order by sku, location, lot;

-- name: rebuilt_balances
-- The same, from the ledger alone.
select sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked
from audit_balance
where (sellable, inspection, quarantined, damaged, reserved, allocated, picked)
      <> (0, 0, 0, 0, 0, 0, 0)
order by sku collate "C", location collate "C", lot collate "C";
