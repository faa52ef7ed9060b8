-- name: session
-- Settles the plans of the lane's statements: they touch few rows by key, whatever the tables' size.
select set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
       set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false),
       -- Who waits this long for the lane looks whether its holder still lives: see free_lane.
       set_config('lock_timeout', '2s', false);

-- name: free_lane
-- Ends the session that holds the lane and has said nothing for two seconds: its process is frozen.
-- The server's own limit on idle transactions does not run while it waits inside a pipeline.
select pg_terminate_backend(a.pid)
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.classid = 0 and l.objid = %s::oid and l.objsubid = 1
  and l.database = (select oid from pg_database where datname = current_database())
  and a.wait_event = 'ClientRead' and a.state_change < clock_timestamp() - interval '2 s';

-- name: lane
-- Takes the lane until the transaction ends. Alone, so that every later statement sees what came before.
select pg_advisory_xact_lock(%s);

-- name: head
-- The last sequence number, the database's clock, the revision of the item master, and when the next hold
-- runs out.
select h.sequence, greatest(clock_timestamp(), h.recorded_at), r.revision,
       (select min(expires_at) from demand_line where expires_at is not null)
from ledger_head h, master_revision r where h.lane = 0;

-- name: unchanged
-- The database's clock; fails the batch unless the ledger, the item master and the clock stand where the
-- batch was decided, and no hold was due.
select clock_timestamp(), expect_rows_v1(count(*), 1, 'ledger_head')
from ledger_head h, master_revision r
where h.lane = 0 and h.sequence = %(before)s and r.revision = %(revision)s
  and h.recorded_at <= %(at)s::timestamptz and clock_timestamp() >= %(at)s::timestamptz
  and coalesce((select min(expires_at) from demand_line where expires_at is not null) > %(at)s::timestamptz, true);

-- name: identities
-- Which of these identities were answered before. The keys drive the search, whatever the statistics say.
select i.key, i.hash, i.sequence, i.outcome
from unnest(%s::text[]) k (key)
cross join lateral (select * from identity where key = k.key offset 0) i;

-- name: answers
-- What was answered beyond the outcome's code.
select sequence, answer from event where sequence = any(%s::bigint[]) and answer is not null;

-- name: due
-- Open holds past their time by the batch's clock, oldest first. A hold that ends a moment later is not due:
-- its expiry would be refused, and stand in the way of the next one.
select system, order_ref, array_agg(line order by line), min(expires_at)
from (select system, order_ref, line, expires_at from demand_line
      where expires_at <= %s and expires_at is not null
      order by expires_at limit %s) d
group by system, order_ref order by min(expires_at);

-- name: next_due
-- Seconds until the next open hold runs out, by the clock of the batch that would record it.
select extract(epoch from (select min(expires_at) from demand_line where expires_at is not null)
                          - greatest(clock_timestamp(), h.recorded_at))::float8
from ledger_head h where h.lane = 0;

-- name: demand
-- The demand lines of these orders with their claims; a line without a claim has one row.
select d.id, d.system, d.order_ref, d.line, d.sku, d.channel, d.lot, d.fresh_until, d.ordered, d.shipped,
       d.cancelled, d.cancel_requested, d.cancel_unmet, d.returned, d.picked, d.finals, d.state,
       d.unshipped_state, d.expires_at, d.transitions, d.version, c.location, c.lot, c.reserved, c.allocated, c.picked, c.version
from unnest(%s::text[], %s::text[]) o (system, order_ref)
cross join lateral (
    select * from demand_line where system = o.system and order_ref = o.order_ref offset 0
) d
left join lateral (select * from claim where line_id = d.id offset 0) c on true;

-- name: balances
-- The balances at these places, all lots.
select b.sku, b.location, b.lot, b.sellable, b.inspection, b.quarantined, b.damaged,
       b.reserved, b.allocated, b.picked, b.version
from unnest(%s::text[], %s::text[]) p (sku, location)
cross join lateral (select * from balance where sku = p.sku and location = p.location offset 0) b;

-- name: balances_everywhere
-- The balances of these SKUs at every place.
select sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked, version
from balance where sku = any(%s::text[]);

-- name: counts
-- Counts at these places as of these times or later.
select c.sku, c.location, c.lot, c.bucket, c.as_of, c.system, c.position, c.reverses
from unnest(%s::text[], %s::text[], %s::timestamptz[]) p (sku, location, at)
cross join lateral (
    select * from stock_count where sku = p.sku and location = p.location and as_of >= p.at offset 0
) c
order by c.as_of, c.sequence;

-- name: latest_counts
-- When these places were counted last, and whether inspection results wait for goods there.
select p.sku, p.location,
       (select max(as_of) from stock_count c where c.sku = p.sku and c.location = p.location),
       exists (select from waiting_inspection w
               where w.sku = p.sku and w.location = p.location and w.quantity > 0)
from unnest(%s::text[], %s::text[]) p (sku, location);

-- name: recent_places
-- The places that the ledger's latest entries touched, the latest first.
select sku, location from (
    select e.sku, place.location, max(e.sequence) as latest
    from ledger_head h
    join entry e on e.sequence > h.sequence - %(entries)s::bigint
    cross join lateral (values (e.from_location), (e.to_location)) place (location)
    where h.lane = 0 and place.location <> ''
    group by e.sku, place.location
) touched
order by latest desc limit %(places)s;

-- name: moved_after
-- Per count: units that entered one account of a cell after its time, and whether another source's fact
-- lies within the clock error around it. The batch log bounds the search: nothing dated after T was recorded
-- before T.
select p.item, p.bucket,
       coalesce(sum(m.units) filter (where m.occurred_at > p.as_of or m.after_position), 0),
       coalesce(bool_or(m.undecided), false)
from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::bigint[])
     p (item, sku, location, lot, bucket, as_of, system, position)
left join system s on s.code = p.system
cross join lateral (
    select coalesce(max(b.last_sequence), 0) as sequence from batch b
    where b.recorded_at <= p.as_of - make_interval(secs => 86400)
) start
left join lateral (
    select e.occurred_at,
           case when e.to_account::text = p.bucket and e.to_location = p.location then e.quantity else 0 end
         - case when e.from_account::text = p.bucket and e.from_location = p.location then e.quantity else 0 end as units,
           v.system = p.system and e.occurred_at = p.as_of
               and (v.body ->> 'position')::bigint > p.position as after_position,
           v.system <> p.system and e.from_account <> 'adjustment' and e.to_account <> 'adjustment'
               and greatest(s.clock_error_s, o.clock_error_s, 0) > 0
               and abs(extract(epoch from e.occurred_at - p.as_of)) <= greatest(s.clock_error_s, o.clock_error_s, 0)
               as undecided
    from entry e
    join event v on v.sequence = e.sequence
    left join system o on o.code = v.system
    where e.sku = p.sku and e.lot = p.lot and e.sequence > start.sequence
      and ((e.to_account::text = p.bucket and e.to_location = p.location)
        or (e.from_account::text = p.bucket and e.from_location = p.location))
) m on true
group by p.item, p.bucket;

-- name: transfers
-- Transfer lines of these documents.
select document, sku, lot, sent, arrived, closed, excess, from_location, to_location, eta, version
from transfer where document = any(%s::text[]);

-- name: lots
-- What is known of the lots of these SKUs.
select sku, code, expires_on, recalled from lot where sku = any(%s::text[]);

-- name: fresh
-- Open claims without a lot that ask for a date, summed.
select c.sku, c.location, d.fresh_until, sum(c.reserved + c.allocated + c.picked)::bigint
from claim c join demand_line d on d.id = c.line_id
where c.sku = any(%s::text[]) and c.reserved + c.allocated + c.picked > 0
  and c.lot = '' and d.fresh_until is not null
group by 1, 2, 3;

-- name: channel_claims
-- Open claims per channel and SKU.
select d.channel, c.sku, sum(c.reserved + c.allocated + c.picked)::bigint
from claim c join demand_line d on d.id = c.line_id
where c.sku = any(%s::text[]) and c.reserved + c.allocated + c.picked > 0 and d.channel <> ''
group by 1, 2;

-- name: backorders
-- What order lines are owed of these SKUs.
select system, order_ref, line, sku, channel, demand_class, owed, owed_since, promoted, cancelled
from backorder where sku = any(%s::text[]) and owed > 0;

-- name: backorders_of_orders
-- What the lines of these orders are owed.
select b.system, b.order_ref, b.line, b.sku, b.channel, b.demand_class, b.owed, b.owed_since, b.promoted, b.cancelled
from unnest(%s::text[], %s::text[]) o (system, order_ref)
cross join lateral (
    select * from backorder where system = o.system and order_ref = o.order_ref and owed > 0 offset 0
) b;

-- name: contained
-- Open claims of these SKUs by demand line and place.
select c.sku, c.location, c.line_id, (c.reserved + c.allocated + c.picked)::bigint
from claim c where c.sku = any(%s::text[]) and c.reserved + c.allocated + c.picked > 0;

-- name: waiting
-- Inspection results that wait for goods at these places.
select w.sku, w.location, w.lot, w.sequence, w.to_bucket, w.quantity, w.occurred_at
from unnest(%s::text[], %s::text[]) p (sku, location)
join waiting_inspection w on w.sku = p.sku and w.location = p.location and w.quantity > 0
order by w.sequence;

-- name: owners
-- Who began these documents.
select location, movement_group, document, system from document_owner where document = any(%s::text[]);

-- name: revisions
-- What the latest revision of these statements posted, and by which events it stands.
select key, revision, quantity, events, since from document_line where key = any(%s::text[]);

-- name: facts
-- These events as they were told, with the quantity in base units where it was told in another.
select sequence, body::text, (answer -> 'answer' ->> 'base_quantity')::bigint
from event where sequence = any(%s::bigint[]) and kind = any(%s::text[]);

-- name: entries_of
-- The entries of these events.
select sequence, sku, lot, from_account::text, from_location, to_account::text, to_location, quantity,
       occurred_at, line_id, coalesce(transfer, ''), free_after
from entry where sequence = any(%s::bigint[])
order by sequence, n;

-- name: payload_ids
-- Numbers for payloads that are about to be stored.
select nextval('payload_id') from generate_series(1, %s);

-- name: insert_history
-- Keeps what only grows: identities, events with their bodies, changes of state, entries. A column whose
-- values are all equal comes as an empty array, which unnest fills with nulls, and that one value.
with identities as (
    insert into identity (key, hash, sequence, outcome)
    select k, decode(h, 'hex'), s, coalesce(o, %(outcome)s)
    from unnest(%(keys)s::text[], %(hashes)s::text[], %(sequences)s::bigint[], %(outcomes)s::text[])
         x (k, h, s, o)
), events as (
    insert into event (sequence, kind, system, occurred_at, received_at, recorded_at, payload, outcome, body,
                       answer)
    select s, coalesce(k, %(kind)s), coalesce(y, %(system)s), coalesce(o, %(occurred_at)s::timestamptz),
           coalesce(r, o, %(received_at)s::timestamptz), %(now)s::timestamptz, p, coalesce(c, %(outcome)s),
           b::json, nullif(a, '')::json
    from unnest(%(sequences)s::bigint[], %(kinds)s::text[], %(systems)s::text[],
                %(occurred_ats)s::timestamptz[], %(received_ats)s::timestamptz[], %(payloads)s::bigint[],
                %(outcomes)s::text[], %(bodies)s::text[], %(answers)s::text[]) x (s, k, y, o, r, p, c, b, a)
), transitions as (
    insert into transition (line_id, n, state, sequence)
    select l, n, coalesce(t, %(state)s), s
    from unnest(%(line_ids)s::bigint[], %(ns)s::integer[], %(states)s::text[], %(changed_by)s::bigint[])
         x (l, n, t, s)
)
insert into entry (sequence, n, sku, lot, from_account, from_location, to_account, to_location, quantity,
                   occurred_at, line_id, transfer, free_after)
select s, n, k, coalesce(l, %(lot)s), coalesce(fa, %(source)s)::account, coalesce(fl, %(origin)s),
       coalesce(ta, %(target)s)::account, coalesce(tl, %(place)s), q, coalesce(o, %(at)s::timestamptz), d,
       nullif(coalesce(t, %(transfer)s), ''), f
from unnest(%(entry_sequences)s::bigint[], %(entry_ns)s::smallint[], %(skus)s::text[], %(lots)s::text[],
            %(sources)s::text[], %(origins)s::text[], %(targets)s::text[], %(places)s::text[],
            %(units)s::bigint[], %(ats)s::timestamptz[], %(entry_lines)s::bigint[], %(transfers)s::text[],
            %(frees)s::bigint[])
     x (s, n, k, l, fa, fl, ta, tl, q, o, d, t, f);

-- name: insert_demand
-- Opens demand lines with their claims. Columns of one value come as in insert_history; the values as texts,
-- so that one prepared statement serves all of them.
with lines as (
    insert into demand_line (id, system, order_ref, line, sku, channel, lot, fresh_until, ordered, shipped, cancelled,
                             cancel_requested, cancel_unmet, returned, picked, finals, state, unshipped_state,
                             expires_at, transitions)
    select i, coalesce(y, %(one_system)s), r, coalesce(n, %(one_line)s), coalesce(k, %(one_sku)s),
           coalesce(c, %(one_channel)s), coalesce(l, %(one_lot)s), coalesce(f, %(one_fresh_until)s::date),
           coalesce(o, %(one_ordered)s::bigint), coalesce(s, %(one_shipped)s::bigint),
           coalesce(x, %(one_cancelled)s::bigint), coalesce(a, %(one_cancel_requested)s::bigint),
           coalesce(w, %(one_cancel_unmet)s::bigint),
           coalesce(b, %(one_returned)s::bigint), coalesce(p, %(one_picked)s::bigint),
           coalesce(z, %(one_finals)s::integer), coalesce(t, %(one_state)s), coalesce(u, %(one_unshipped_state)s),
           coalesce(e, %(one_expires_at)s::timestamptz), coalesce(m, %(one_transitions)s::integer)
    from unnest(%(id)s::bigint[], %(system)s::text[], %(order_ref)s::text[], %(line)s::text[], %(sku)s::text[],
                %(channel)s::text[], %(lot)s::text[], %(fresh_until)s::date[], %(ordered)s::bigint[],
                %(shipped)s::bigint[], %(cancelled)s::bigint[], %(cancel_requested)s::bigint[],
                %(cancel_unmet)s::bigint[], %(returned)s::bigint[], %(picked)s::bigint[], %(finals)s::integer[],
                %(state)s::text[], %(unshipped_state)s::text[], %(expires_at)s::timestamptz[], %(transitions)s::integer[])
         v (i, y, r, n, k, c, l, f, o, s, x, a, w, b, p, z, t, u, e, m)
)
insert into claim (line_id, location, lot, sku, reserved, allocated, picked)
select i, coalesce(p, %(one_claim_location)s), coalesce(l, %(one_claim_lot)s), coalesce(k, %(one_claim_sku)s),
       coalesce(r, %(one_claim_reserved)s::bigint), coalesce(a, %(one_claim_allocated)s::bigint),
       coalesce(x, %(one_claim_picked)s::bigint)
from unnest(%(claim_line)s::bigint[], %(claim_location)s::text[], %(claim_lot)s::text[], %(claim_sku)s::text[],
            %(claim_reserved)s::bigint[], %(claim_allocated)s::bigint[], %(claim_picked)s::bigint[])
     v (i, p, l, k, r, a, x);

-- name: insert_claims
-- Opens further claims.
insert into claim (line_id, location, lot, sku, reserved, allocated, picked)
select * from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[]);

-- name: advance_head
-- Gives out the batch's numbers, logs its time, marks the SKUs whose levels must be computed again, and
-- wakes whoever follows the ledger.
with head as (
    update ledger_head set sequence = %(last)s, recorded_at = %(at)s::timestamptz
    where lane = 0 and sequence = %(before)s returning 1
), log as (
    insert into batch (last_sequence, first_sequence, recorded_at)
    select %(last)s, %(before)s + 1, %(at)s::timestamptz from head
), marks as (
    insert into dirty (sku, sequence) select k, %(last)s from unnest(%(skus)s::text[]) x (k)
)
select expect_rows_v1(count(*), 1, 'ledger_head'), pg_notify('stockwright_ledger', %(last)s::text) from head;

-- name: insert_balances
-- Opens balances.
insert into balance (sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked)
select * from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                     %s::bigint[], %s::bigint[], %s::bigint[]);

-- name: update_balances
-- Changes balances that still are as they were read; any other number of rows fails the batch.
with changed as (
    update balance b
    set sellable = x.sellable, inspection = x.inspection, quarantined = x.quarantined, damaged = x.damaged,
        reserved = x.reserved, allocated = x.allocated, picked = x.picked, version = b.version + 1
    from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
                %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
         x (sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked, version)
    where b.sku = x.sku and b.location = x.location and b.lot = x.lot and b.version = x.version
    returning 1
)
select expect_rows_v1(count(*), %s, 'balance') from changed;

-- name: update_demand
-- Changes demand lines that still are as they were read.
with changed as (
    update demand_line d
    set sku = x.sku, channel = x.channel, lot = x.lot, fresh_until = x.fresh_until, ordered = x.ordered, shipped = x.shipped,
        cancelled = x.cancelled, cancel_requested = x.cancel_requested, cancel_unmet = x.cancel_unmet,
        returned = x.returned, picked = x.picked, finals = x.finals, state = x.state,
        unshipped_state = x.unshipped_state, expires_at = x.expires_at, transitions = x.transitions,
        version = d.version + 1
    from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::date[], %s::bigint[], %s::bigint[],
                %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::integer[], %s::text[],
                %s::text[], %s::timestamptz[], %s::integer[], %s::bigint[])
         x (id, sku, channel, lot, fresh_until, ordered, shipped, cancelled, cancel_requested, cancel_unmet,
            returned, picked, finals, state, unshipped_state, expires_at, transitions, version)
    where d.id = x.id and d.version = x.version
    returning 1
)
select expect_rows_v1(count(*), %s, 'demand_line') from changed;

-- name: update_claims
-- Changes claims that still are as they were read.
with changed as (
    update claim c
    set sku = x.sku, reserved = x.reserved, allocated = x.allocated, picked = x.picked, version = c.version + 1
    from unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
         x (line_id, location, lot, sku, reserved, allocated, picked, version)
    where c.line_id = x.line_id and c.location = x.location and c.lot = x.lot and c.version = x.version
    returning 1
)
select expect_rows_v1(count(*), %s, 'claim') from changed;

-- name: save_transfer
-- Keeps a transfer line as it is now.
insert into transfer (document, sku, lot, sent, arrived, closed, excess, from_location, to_location, eta)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
on conflict (document, sku, lot) do update
set sent = excluded.sent, arrived = excluded.arrived, closed = excluded.closed, excess = excluded.excess,
    from_location = excluded.from_location, to_location = excluded.to_location, eta = excluded.eta,
    version = transfer.version + 1;

-- name: save_count
-- Keeps a count.
insert into stock_count (sequence, sku, location, lot, bucket, as_of, system, position, reverses, counted)
values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: save_lot
-- Keeps what is known of a lot.
insert into lot (sku, code, expires_on, recalled) values (%s, %s, %s, %s)
on conflict (sku, code) do update set expires_on = excluded.expires_on, recalled = excluded.recalled;

-- name: save_waiting
-- Keeps what still waits of an inspection result.
insert into waiting_inspection (sequence, sku, location, lot, to_bucket, quantity, occurred_at)
values (%s, %s, %s, %s, %s, %s, %s)
on conflict (sequence) do update set quantity = excluded.quantity;

-- name: save_owner
-- Keeps who began a document.
insert into document_owner (location, movement_group, document, system) values (%s, %s, %s, %s)
on conflict do nothing;

-- name: save_revisions
-- Keeps what the latest revisions posted, and by which events they stand.
insert into document_line (key, revision, quantity, events, since)
select k, r, q, e::bigint[], s
from unnest(%s::text[], %s::integer[], %s::bigint[], %s::text[], %s::smallint[]) x (k, r, q, e, s)
on conflict (key) do update
set revision = excluded.revision, quantity = excluded.quantity, events = excluded.events, since = excluded.since;

-- name: save_observation
-- Keeps a movement told by a system without the authority for it.
insert into observation (sequence, system, kind, location, order_ref, line, sku, quantity)
values (%s, %s, %s, %s, %s, %s, %s, %s);

-- name: save_backorder
-- Keeps what an order line is still owed; one that is settled is closed.
update backorder
set owed = %s, promoted = %s, cancelled = %s, sequence = %s, settled_by = %s,
    closed_at = case when owed_now = 0 then %s::timestamptz end,
    closed_by = case when owed_now = 0 then 'ledger' else '' end,
    closed_why = case when owed_now = 0 then %s else '' end
from (select %s::bigint) now (owed_now)
where system = %s and order_ref = %s and line = %s;

-- name: save_receipt
-- Keeps that goods came in against a line of supply.
insert into supply_receipt (sequence, system, document, line, sku, quantity) values (%s, %s, %s, %s, %s, %s);

-- name: open_work
-- Opens a work item, or counts the open one again.
insert into work_item (kind, subject, sku, location, system, detail, sequence)
values (%s, %s, %s, %s, %s, %s::jsonb, %s)
on conflict (kind, subject) where closed_at is null do update
set seen = work_item.seen + 1, last_seen_at = clock_timestamp(), detail = excluded.detail,
    sequence = excluded.sequence;

-- name: close_work
-- Closes an open work item whose cause is gone.
update work_item set closed_at = clock_timestamp(), closed_by = 'ledger', closed_why = 'its cause is gone'
where kind = %s and subject = %s and closed_at is null;

-- name: park
-- Keeps an item that could not be decided, once per identity.
insert into payload (system, door, content_type, body, raw_key, received_at, state, reason, path, missing)
select %(system)s, %(door)s, 'application/json', %(body)s, %(key)s, %(received_at)s, 'parked', %(reason)s, %(path)s,
       %(missing)s
where not exists (
    select 1 from payload
    where system = %(system)s and missing = %(missing)s and state = 'parked' and raw_key = %(key)s
      and door = %(door)s and body = %(body)s
);

-- name: keep_raw
-- Keeps the raw body of a call whose items are recorded with it; a batch that is run again may have kept it.
insert into payload (id, system, door, content_type, headers, body, received_at, state, settled_at)
values (%s, %s, %s, %s, %s::jsonb, %s, %s, 'recorded', clock_timestamp())
on conflict (id) do nothing;

-- name: settle_payloads
-- Marks how far payloads are recorded, in the same transaction as their events.
update payload p
set items_done = greatest(p.items_done, x.done),
    state = case when x.final then 'recorded' else p.state end,
    settled_at = case when x.final then clock_timestamp() end
from unnest(%(ids)s::bigint[], %(done)s::integer[], %(final)s::boolean[]) x (id, done, final)
where p.id = x.id and p.state = 'received';

-- name: expired_lots
-- Lots that still lie sellable at a place after their date there.
select b.sku, b.location, b.lot, l.expires_on
from lot l join balance b on b.sku = l.sku and b.lot = l.code join location p on p.code = b.location
where l.expires_on < (%s at time zone p.time_zone)::date and b.sellable > 0
order by l.expires_on, b.sku, b.location limit %s;

-- name: partitions_until
-- The first sequence number that has no partition yet.
select 1000000 * (1 + max(substring(c.relname from '[0-9]+$')::bigint))
from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'event'::regclass;

-- name: make_partitions
-- Makes the partitions up to a sequence number.
select make_ledger_partitions_v1(%s);

-- name: held_cells
-- The cells of a place that hold goods, by bucket.
select b.sku, b.lot, x.bucket from balance b
cross join lateral (values ('sellable', b.sellable), ('inspection', b.inspection),
                           ('quarantined', b.quarantined), ('damaged', b.damaged)) x (bucket, units)
where b.location = %s and x.units <> 0;

-- name: bound_items
-- What a system's own codes stand for.
select partner_code, code from binding
where system = %s and subject = 'item' and partner_code = any(%s::text[]);
