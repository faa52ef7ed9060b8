-- The baseline: what a good engineer would write without Stockwright. One function call a
-- reservation and one a receipt, each writing the same rows as the product: identity, event with
-- its body and answer, entry with free_after, balance with its guard, dirty mark; a reservation
-- also demand line, claim and transition.
--
-- Numbers come from a sequence, so that callers meet only at the balance they share. The guard is
-- the conditional update; deciding before or after the other rows made no measurable difference.

create sequence if not exists proc_sequence;
-- Behind whatever the product has recorded in this database, since both share the tables.
select setval('proc_sequence', greatest((select last_value from proc_sequence), 20000000));
select make_ledger_partitions_v1(29999999);

create or replace function proc_reserve_v1(
    p_system text, p_order text, p_sku text, p_location text, p_quantity bigint, p_body json
) returns text
language plpgsql as $$
declare
    v_now      constant timestamptz := clock_timestamp();
    v_expires  constant timestamptz := v_now + interval '15 minutes';
    v_sequence constant bigint := nextval('proc_sequence');
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
    values (v_sequence, p_system, p_order, '1', p_sku, p_quantity, 'open', v_expires, 1);
    insert into claim (line_id, location, sku, reserved)
    values (v_sequence, p_location, p_sku, p_quantity);
    insert into transition (line_id, n, state, sequence)
    values (v_sequence, 1, 'open', v_sequence);
    insert into entry (sequence, n, sku, lot, from_account, from_location,
                       to_account, to_location, quantity, occurred_at, line_id, free_after)
    values (v_sequence, 1, p_sku, '', 'unclaimed', p_location,
            'reserved', p_location, p_quantity, v_now, v_sequence, v_free);
    insert into dirty (sku, sequence) values (p_sku, v_sequence);
    return 'granted';
end
$$;

create or replace function proc_receipt_v1(
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
