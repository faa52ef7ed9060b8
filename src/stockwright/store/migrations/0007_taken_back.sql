-- What the ledger needs to take a statement back as if it had never been told.

-- How many shipments were said to be the last, so that one of them can be taken back.
alter table demand_line rename column final to finals;
alter table demand_line alter column finals drop default;
alter table demand_line alter column finals type integer using finals::integer;
alter table demand_line alter column finals set default 0;

-- Asked to be cancelled beyond what there was to cancel, and the state before anything shipped.
alter table demand_line
    add column cancel_unmet bigint not null default 0 check (cancel_unmet >= 0),
    add column unshipped_state text not null default '';
update demand_line set unshipped_state = 'confirmed' where shipped > 0;

-- The events whose entries make up what stands of a statement; of the first of them those from
-- number `since` on, for what came before took an earlier revision back.
alter table document_line
    add column events bigint[] not null default '{}',
    add column since smallint not null default 1;
