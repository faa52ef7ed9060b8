-- A small world that adds up: goods received, held, allocated, shipped, a transfer under way.
insert into location (code) values ('L1'), ('L2');
insert into sku (code) values ('A'), ('B');
insert into event (sequence, kind, system, occurred_at, received_at, recorded_at, outcome, body)
select n, kind, 'wms', now(), now(), now(), outcome, '{}'
from (values (1, 'receipt', 'recorded'), (2, 'reserve', 'granted'), (3, 'allocate', 'done'),
             (4, 'shipment', 'recorded'), (5, 'transfer_out', 'recorded'),
             (6, 'reserve', 'insufficient'), (7, 'receipt', 'recorded')) as e (n, kind, outcome);
insert into identity (key, hash, sequence, outcome)
select 'wms|' || sequence, '\x00', sequence, outcome from event;
insert into batch (first_sequence, last_sequence, recorded_at) values (1, 4, now()), (5, 7, now());
update ledger_head set sequence = 7;
insert into demand_line (id, system, order_ref, line, sku, ordered, shipped, state, transitions)
values (20, 'shop', 'o1', '1', 'A', 5, 2, 'part_fulfilled', 3);
insert into transition (line_id, n, state, sequence)
values (20, 1, 'open', 2), (20, 2, 'confirmed', 3), (20, 3, 'part_fulfilled', 4);
insert into entry (sequence, n, sku, lot, from_account, from_location, to_account, to_location,
                   quantity, occurred_at, line_id, transfer, free_after)
values (1, 1, 'A', '', 'supplier', '', 'sellable', 'L1', 10, now(), null, null, null),
       (2, 1, 'A', '', 'unclaimed', 'L1', 'reserved', 'L1', 5, now(), 20, null, 5),
       (3, 1, 'A', '', 'reserved', 'L1', 'allocated', 'L1', 4, now(), 20, null, null),
       (4, 1, 'A', '', 'sellable', 'L1', 'customer', '', 2, now(), 20, null, null),
       (4, 2, 'A', '', 'allocated', 'L1', 'fulfilled', 'L1', 2, now(), 20, null, null),
       (5, 1, 'A', '', 'sellable', 'L1', 'in_transit', '', 3, now(), null, 't1', null),
       (7, 1, 'B', 'lot9', 'supplier', '', 'sellable', 'L2', 6, now(), null, null, null);
insert into transfer (document, sku, sent) values ('t1', 'A', 3);
insert into balance (sku, location, lot, sellable, reserved, allocated)
values ('A', 'L1', '', 5, 1, 2), ('B', 'L2', 'lot9', 6, 0, 0), ('B', 'L1', '', 0, 0, 0);
insert into claim (line_id, location, sku, reserved, allocated) values (20, 'L1', 'A', 1, 2);
insert into system (code, role) values ('shop', 'shop') on conflict do nothing;
insert into channel (code, system, pool) values ('web', 'shop', '{L1}') on conflict do nothing;
insert into backorder (system, order_ref, line, sku, channel, demand_class, quantity, owed, promoted,
                       owed_since, settled_by, revision, sequence)
values ('shop', 'o2', '1', 'B', 'web', 0, 9, 4, 5, now(), 2, 1, 6);
insert into owed_sku (sku) values ('B');
