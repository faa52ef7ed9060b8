-- The yardstick: what a good engineer would write without Stockwright. One function call a
-- reservation and one a receipt, each writing the same rows as the product: identity, event with
-- its body and answer, entry with free_after, balance with its guard, dirty mark; a reservation
-- also demand line, claim and transition. And the rows a measurement starts from.

-- name: numbers
-- Numbers from a sequence, so that callers meet only at the balance they share; far above what the
-- product records beside it in the same tables.
create sequence proc_sequence start 20000000;

-- name: partitions
-- Partitions for both, made ahead as the product's are.
select make_ledger_partitions_v1(29999999);

-- name: reserve
-- One reservation of one line. The guard is the conditional update; whether it comes before or
-- after the other rows made no measurable difference.
create function proc_reserve_v1(
    p_system text, p_order text, p_sku text, p_location text, p_quantity bigint, p_body json
) returns text
language plpgsql as $$
declare
    v_now      constant timestamptz := clock_timestamp();
    v_expires  constant timestamptz := v_now + interval '15 minutes';
    v_sequence constant bigint := nextval('proc_sequence');
    v_line     constant bigint := v_sequence * 4096 + 1;
    v_key      constant text := p_system || '|' || p_order || '|1|reserve|0';
    v_free     bigint;
begin
    insert into identity (key, hash, sequence, outcome)
    values (v_key, sha256(convert_to(p_body::text, 'UTF8')), v_sequence, 'granted')
    on conflict (key) do nothing;
    if not found then
        return (select outcome from identity where key = v_key);
    end if;

    update balance
       set reserved = reserved + p_quantity, version = version + 1
     where sku = p_sku and location = p_location and lot = ''
       and sellable - reserved - allocated - picked >= p_quantity
    returning sellable - reserved - allocated - picked into v_free;
    if not found then
        update identity set outcome = 'insufficient' where key = v_key;
        insert into event (sequence, kind, system, occurred_at, received_at, recorded_at,
                           outcome, body)
        values (v_sequence, 'reserve', p_system, v_now, v_now, v_now, 'insufficient', p_body);
        return 'insufficient';
    end if;

    insert into event (sequence, kind, system, occurred_at, received_at, recorded_at,
                       outcome, body, answer)
    values (v_sequence, 'reserve', p_system, v_now, v_now, v_now, 'granted', p_body,
            json_build_object('state', 'open', 'expires_at', v_expires, 'lines',
                json_build_array(json_build_object(
                    'line', '1', 'sku', p_sku, 'requested', p_quantity, 'granted', p_quantity,
                    'places', json_build_array(json_build_object(
                        'location', p_location, 'lot', '', 'quantity', p_quantity))))));
    insert into demand_line (id, system, order_ref, line, sku, ordered, state, expires_at,
                             transitions)
    values (v_line, p_system, p_order, '1', p_sku, p_quantity, 'open', v_expires, 1);
    insert into claim (line_id, location, sku, reserved)
    values (v_line, p_location, p_sku, p_quantity);
    insert into transition (line_id, n, state, sequence)
    values (v_line, 1, 'open', v_sequence);
    insert into entry (sequence, n, sku, lot, from_account, from_location,
                       to_account, to_location, quantity, occurred_at, line_id, free_after)
    values (v_sequence, 1, p_sku, '', 'unclaimed', p_location,
            'reserved', p_location, p_quantity, v_now, v_line, v_free);
    insert into dirty (sku, sequence) values (p_sku, v_sequence);
    return 'granted';
end
$$;

-- name: receipt
-- One receipt of one line.
create function proc_receipt_v1(
    p_system text, p_document text, p_sku text, p_location text, p_quantity bigint, p_body json
) returns text
language plpgsql as $$
declare
    v_now      constant timestamptz := clock_timestamp();
    v_sequence constant bigint := nextval('proc_sequence');
    v_key      constant text := p_system || '|' || p_document || '|1|receipt|0';
begin
    insert into identity (key, hash, sequence, outcome)
    values (v_key, sha256(convert_to(p_body::text, 'UTF8')), v_sequence, 'recorded')
    on conflict (key) do nothing;
    if not found then
        return (select outcome from identity where key = v_key);
    end if;

    insert into balance as b (sku, location, sellable) values (p_sku, p_location, p_quantity)
    on conflict (sku, location, lot)
    do update set sellable = b.sellable + excluded.sellable, version = b.version + 1;
    insert into event (sequence, kind, system, occurred_at, received_at, recorded_at,
                       outcome, body)
    values (v_sequence, 'receipt', p_system, v_now, v_now, v_now, 'recorded', p_body);
    insert into entry (sequence, n, sku, lot, from_account, from_location,
                       to_account, to_location, quantity, occurred_at)
    values (v_sequence, 1, p_sku, '', 'supplier', '',
            'sellable', p_location, p_quantity, v_now);
    insert into dirty (sku, sequence) values (p_sku, v_sequence);
    return 'recorded';
end
$$;

-- name: master
-- One system, one place and `items` SKUs named SKU-000000 and on.
with system_row as (
    insert into system (code, role) values ('bench', 'shop') on conflict do nothing
), place as (
    insert into location (code) values ('MAIN') on conflict do nothing
), items as (
    insert into sku (code)
    select 'SKU-' || lpad(n::text, 6, '0') from generate_series(0, %(items)s - 1) as n
)
update master_revision set revision = revision + 1;

-- name: opening_stock
-- The same stock of every SKU, as the first event of the ledger with an entry each.
with head as (
    update ledger_head set sequence = sequence + 1, recorded_at = clock_timestamp()
    where lane = 0 returning sequence, recorded_at
), batch_row as (
    insert into batch (first_sequence, last_sequence, recorded_at)
    select sequence, sequence, recorded_at from head
), identity_row as (
    insert into identity (key, hash, sequence, outcome)
    select 'bench|opening|1|receipt|0', '\x00', sequence, 'recorded' from head
), event_row as (
    insert into event (sequence, kind, system, occurred_at, received_at, recorded_at, outcome, body)
    select sequence, 'receipt', 'bench', recorded_at, recorded_at, recorded_at, 'recorded', '{}'
    from head
), entries as (
    insert into entry (sequence, n, sku, lot, from_account, from_location, to_account, to_location,
                       quantity, occurred_at)
    select sequence, row_number() over (order by code), code, '', 'supplier', '', 'sellable', 'MAIN',
           %(stock)s, recorded_at
    from head, sku
)
insert into balance (sku, location, sellable) select code, 'MAIN', %(stock)s from sku;

-- name: grow
-- A past of `reservations` granted reservations of one unit, as the ledger would have left it: each
-- with its event, identity, entry, demand line, claim and transition, in one batch.
with past as (
    select h.sequence + n as sequence, h.recorded_at, n,
           'SKU-' || lpad((n %% %(items)s)::text, 6, '0') as sku,
           (n - 1) / %(items)s + 1 as nth
    from ledger_head as h, generate_series(1, %(reservations)s::bigint) as n where h.lane = 0
), stock as (
    select sku, sellable - reserved - allocated - picked as free from balance
    where location = 'MAIN' and lot = ''
), identities as (
    insert into identity (key, hash, sequence, outcome)
    select 'bench|past-' || lpad(sequence::text, 12, '0') || '|1|reserve|0', sha256(sku::bytea), sequence,
           'granted' from past
), events as (
    insert into event (sequence, kind, system, occurred_at, received_at, recorded_at,
                       outcome, body, answer)
    select sequence, 'reserve', 'bench', recorded_at, recorded_at, recorded_at, 'granted',
           json_build_object('kind', 'reserve', 'document', 'past-' || sequence, 'system', 'bench',
               'lines', json_build_array(json_build_object(
                   'sku', sku, 'quantity', 1, 'location', 'MAIN'))),
           json_build_object('state', 'open', 'lines', json_build_array(json_build_object(
               'line', '1', 'sku', sku, 'requested', 1, 'granted', 1)))
    from past
), demand as (
    insert into demand_line (id, system, order_ref, line, sku, ordered, state, transitions)
    select sequence * 4096 + 1, 'bench', 'past-' || lpad(sequence::text, 12, '0'), '1', sku, 1, 'confirmed',
           1 from past
), transitions as (
    insert into transition (line_id, n, state, sequence)
    select sequence * 4096 + 1, 1, 'confirmed', sequence from past
), entries as (
    insert into entry (sequence, n, sku, lot, from_account, from_location, to_account, to_location,
                       quantity, occurred_at, line_id, free_after)
    select sequence, 1, sku, '', 'unclaimed', 'MAIN', 'reserved', 'MAIN', 1, recorded_at,
           sequence * 4096 + 1, free - nth
    from past join stock using (sku)
), balances as (
    update balance set reserved = reserved + taken.units, version = version + 1
    from (select sku, count(*) as units from past group by sku) as taken
    where balance.sku = taken.sku and balance.location = 'MAIN' and balance.lot = ''
), batch_row as (
    insert into batch (first_sequence, last_sequence, recorded_at)
    select min(sequence), max(sequence), min(recorded_at) from past
), head as (
    update ledger_head set sequence = sequence + %(reservations)s where lane = 0
)
insert into claim (line_id, location, sku, reserved)
select sequence * 4096 + 1, 'MAIN', sku, 1 from past;
