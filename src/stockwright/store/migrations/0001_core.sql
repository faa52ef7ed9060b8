-- The item master, and the ledger with the two books it keeps.
-- Codes are text with COLLATE "C": case and leading zeros are kept, comparison is by bytes.

-- ---------------------------------------------------------------- master

create table system (
    code             text collate "C" primary key,
    role             text not null,
    owner            text not null default '',
    latency_budget_s numeric not null default 5,
    criticality      text not null default 'normal',
    clock_error_s    numeric not null default 0,
    time_zone        text not null default 'UTC',
    snapshot_basis   text not null default 'gross' check (snapshot_basis in ('gross', 'net')),
    revisions        text not null default 'increment'
                     check (revisions in ('increment', 'cumulative', 'replacement')),
    connector        text not null default '',
    settings         jsonb not null default '{}'
);

create table location (
    code        text collate "C" primary key,
    name        text not null default '',
    time_zone   text not null default 'UTC',
    feed        text not null default 'movement' check (feed in ('movement', 'snapshot')),
    priority    integer not null default 100
);

create table location_group (
    code     text collate "C" not null,
    location text collate "C" not null references location (code),
    primary key (code, location)
);

-- Who may record which movements at a location, from when on.
create table authority (
    location       text collate "C" not null references location (code),
    movement_group text not null check (movement_group in ('inbound', 'outbound', 'internal', 'count', 'pos')),
    valid_from     timestamptz not null,
    system         text collate "C" not null references system (code),
    primary key (location, movement_group, valid_from)
);

create table sku (
    code        text collate "C" primary key,
    description text not null default '',
    sku_group   text collate "C" not null default '',
    unit_cost   numeric not null default 0 check (unit_cost >= 0),
    currency    text not null default '',
    base_unit   text not null default 'EA',
    control     text not null default 'none' check (control in ('none', 'lot', 'serial')),
    active      boolean not null default true
);
create index sku_by_group on sku (sku_group);

-- How many base units one unit of measure holds.
create table unit (
    sku    text collate "C" not null references sku (code),
    code   text collate "C" not null,
    factor bigint not null check (factor > 0),
    primary key (sku, code)
);

-- A partner's own code for an item or a location.
create table binding (
    system       text collate "C" not null references system (code),
    subject      text not null check (subject in ('item', 'location')),
    partner_code text collate "C" not null,
    code         text collate "C" not null,
    unit         text collate "C" not null default '',
    primary key (system, subject, partner_code)
);
create index binding_by_code on binding (subject, code);

create table kit (
    sku       text collate "C" not null references sku (code),
    component text collate "C" not null references sku (code),
    quantity  bigint not null check (quantity > 0),
    primary key (sku, component),
    check (sku <> component)
);

create table channel (
    code           text collate "C" primary key,
    system         text collate "C" not null references system (code),
    pool           text[] not null,
    demand_class   integer not null default 100,
    allow_split    boolean not null default true,
    hold_s         integer not null default 900 check (hold_s > 0)
);

-- What a channel sells: one or more SKUs with a quantity each.
create table listing (
    channel text collate "C" not null references channel (code),
    code    text collate "C" not null,
    active  boolean not null default true,
    primary key (channel, code)
);

create table listing_component (
    channel  text collate "C" not null,
    listing  text collate "C" not null,
    sku      text collate "C" not null references sku (code),
    quantity bigint not null check (quantity > 0),
    primary key (channel, listing, sku),
    foreign key (channel, listing) references listing (channel, code) on delete cascade
);
create index listing_component_by_sku on listing_component (sku);

-- Exposure rules of a channel; the first row in order of position that matches applies.
create table exposure_policy (
    channel     text collate "C" not null references channel (code),
    position    integer not null,
    sku         text collate "C",
    sku_group   text collate "C",
    safety      bigint not null default 0 check (safety >= 0),
    hard_safety bigint not null default 0 check (hard_safety >= 0),
    ring_fence  bigint not null default 0 check (ring_fence >= 0),
    buffer      bigint not null default 0 check (buffer >= 0),
    cap         bigint check (cap >= 0),
    pack_size   bigint not null default 1 check (pack_size > 0),
    primary key (channel, position)
);

-- Raised by every change of the tables above, so that a process knows when its cached copy is old.
create table master_revision (
    one      boolean primary key default true check (one),
    revision bigint not null
) with (fillfactor = 50);
insert into master_revision (revision) values (1);

-- ---------------------------------------------------------------- payloads

create sequence payload_id as bigint;

-- Raw bytes as received. A parked payload waits for a person or a binding; `path` says what failed.
create table payload (
    id           bigint primary key default nextval('payload_id'),
    system       text collate "C" not null,
    door         text not null,
    content_type text not null default '',
    headers      jsonb not null default '{}',
    body         bytea not null,
    raw_key      text collate "C" not null default '',
    received_at  timestamptz not null default clock_timestamp(),
    state        text not null default 'received'
                 check (state in ('received', 'recorded', 'parked', 'discarded')),
    items_done   integer not null default 0,
    reason       text not null default '',
    path         text not null default '',
    missing      text collate "C" not null default '',
    attempts     integer not null default 0,
    settled_at   timestamptz
);
create index payload_open on payload (id) where state = 'received';
create index payload_parked on payload (system, missing) where state = 'parked';

-- ---------------------------------------------------------------- ledger

create type account as enum (
    'sellable', 'inspection', 'quarantined', 'damaged', 'in_transit',
    'supplier', 'customer', 'adjustment', 'scrap',
    'unclaimed', 'reserved', 'allocated', 'picked', 'fulfilled'
);

-- The last number given out, per lane. Numbers have no holes.
create table ledger_head (
    lane        smallint primary key,
    sequence    bigint not null,
    recorded_at timestamptz not null
) with (fillfactor = 50);
insert into ledger_head (lane, sequence, recorded_at) values (0, 0, '-infinity');

-- One row per committed batch: bounds a search by time to a range of sequence numbers.
create table batch (
    last_sequence  bigint primary key,
    first_sequence bigint not null,
    recorded_at    timestamptz not null
);
create index batch_by_time on batch (recorded_at);

-- Every message that was answered, once, for ever.
create table identity (
    key      text collate "C" primary key,
    hash     bytea not null,
    sequence bigint not null,
    outcome  text not null
);

create table event (
    sequence    bigint not null,
    kind        text not null,
    system      text collate "C" not null,
    occurred_at timestamptz not null,
    received_at timestamptz not null,
    recorded_at timestamptz not null,
    payload     bigint,
    outcome     text not null,
    body        json not null,
    answer      json,
    primary key (sequence)
) partition by range (sequence);

-- One move of goods or of a promise: quantity leaves one account and enters another, so that the
-- lines of an event sum to zero by their shape.
create table entry (
    sequence      bigint not null,
    n             smallint not null,
    sku           text collate "C" not null,
    lot           text collate "C" not null,
    from_account  account not null,
    from_location text collate "C" not null,
    to_account    account not null,
    to_location   text collate "C" not null,
    quantity      bigint not null check (quantity > 0),
    occurred_at   timestamptz not null,
    line_id       bigint,
    transfer      text collate "C",
    free_after    bigint check (free_after >= 0),
    primary key (sequence, n)
) partition by range (sequence);
create index entry_by_sku on entry (sku, sequence);

-- The two books, kept up to date with the ledger. lot is '' where no lot is named.
create table balance (
    sku         text collate "C" not null references sku (code),
    location    text collate "C" not null references location (code),
    lot         text collate "C" not null default '',
    sellable    bigint not null default 0,
    inspection  bigint not null default 0,
    quarantined bigint not null default 0,
    damaged     bigint not null default 0,
    reserved    bigint not null default 0 check (reserved >= 0),
    allocated   bigint not null default 0 check (allocated >= 0),
    picked      bigint not null default 0 check (picked >= 0),
    version     bigint not null default 1,
    primary key (sku, location, lot)
) with (fillfactor = 50);

create table lot (
    sku        text collate "C" not null references sku (code),
    code       text collate "C" not null,
    expires_on date,
    recalled   boolean not null default false,
    primary key (sku, code)
);
create index lot_by_expiry on lot (expires_on) where expires_on is not null;

-- One line of one order of one system, and what became of it. The lines of one (system, order_ref)
-- that were asked for together are a reservation; state is the line's place in that machine.
-- No foreign keys here and on claim: checked row by row they cost a third of a reservation. The ledger is the
-- only writer, it knows the SKU from the balance it claims, and `stockwright audit` proves the rest.
create table demand_line (
    id               bigint primary key,
    system           text collate "C" not null,
    order_ref        text collate "C" not null,
    line             text collate "C" not null,
    sku              text collate "C" not null,
    channel          text collate "C" not null default '',
    lot              text collate "C" not null default '',
    fresh_until      date,
    ordered          bigint not null default 0 check (ordered >= 0),
    shipped          bigint not null default 0,
    cancelled        bigint not null default 0 check (cancelled >= 0),
    cancel_requested bigint not null default 0 check (cancel_requested >= 0),
    returned         bigint not null default 0,
    picked           bigint not null default 0,
    final            boolean not null default false,
    state            text not null,
    expires_at       timestamptz,
    transitions      integer not null default 0,
    version          bigint not null default 1,
    unique (system, order_ref, line)
) with (fillfactor = 70);
create index demand_line_due on demand_line (expires_at) where expires_at is not null;

-- Units promised to a demand line at a place. The sum by (sku, location, lot) is the balance's.
create table claim (
    line_id   bigint not null,
    location  text collate "C" not null,
    lot       text collate "C" not null default '',
    sku       text collate "C" not null,
    reserved  bigint not null default 0 check (reserved >= 0),
    allocated bigint not null default 0 check (allocated >= 0),
    picked    bigint not null default 0 check (picked >= 0),
    version   bigint not null default 1,
    primary key (line_id, location, lot)
) with (fillfactor = 70);
create index claim_open_by_sku on claim (sku, location) where reserved + allocated + picked > 0;

-- Each change of a demand line's state, once.
create table transition (
    line_id  bigint not null,
    n        integer not null,
    state    text not null,
    sequence bigint not null,
    primary key (line_id, n)
);

-- A transfer under way: what left, what arrived, what arrived before it left.
create table transfer (
    document text collate "C" not null,
    sku      text collate "C" not null,
    lot      text collate "C" not null default '',
    sent     bigint not null default 0 check (sent >= 0),
    arrived  bigint not null default 0 check (arrived >= 0),
    closed   bigint not null default 0 check (closed >= 0),
    excess   bigint not null default 0 check (excess >= 0),
    from_location text collate "C" not null default '',
    to_location   text collate "C" not null default '',
    eta      timestamptz,
    version  bigint not null default 1,
    primary key (document, sku, lot),
    check (sent >= arrived + closed)
);

-- A count (or snapshot) of one cell as of a time.
create table stock_count (
    sku      text collate "C" not null,
    location text collate "C" not null,
    lot      text collate "C" not null default '',
    bucket   text not null,
    as_of    timestamptz not null,
    sequence bigint not null,
    counted  bigint not null,
    system   text collate "C" not null,
    position bigint,
    reverses boolean not null default true,
    primary key (sku, location, lot, bucket, as_of, sequence)
);

-- An inspection result that came before the goods it speaks of.
create table waiting_inspection (
    sequence  bigint primary key,
    sku       text collate "C" not null,
    location  text collate "C" not null,
    lot       text collate "C" not null default '',
    to_bucket text not null,
    quantity  bigint not null check (quantity >= 0),
    occurred_at timestamptz not null
);
create index waiting_inspection_by_cell on waiting_inspection (sku, location, lot) where quantity > 0;

-- Where revisions replace each other: what the latest one posted.
create table document_line (
    key      text collate "C" primary key,
    revision integer not null,
    quantity bigint not null
);

-- Whoever posted a document's first physical fact finishes it.
create table document_owner (
    location       text collate "C" not null,
    movement_group text not null,
    document       text collate "C" not null,
    system         text collate "C" not null,
    primary key (location, movement_group, document)
);

-- The same movement told by a system that does not hold the authority for it.
create table observation (
    sequence   bigint primary key,
    system     text collate "C" not null,
    kind       text not null,
    location   text collate "C" not null,
    order_ref  text collate "C" not null,
    line       text collate "C" not null,
    sku        text collate "C" not null,
    quantity   bigint not null
);
create index observation_by_business_key on observation (order_ref, line, sku);

-- What a person must decide. One open row per kind and subject.
create table work_item (
    id          bigint generated always as identity primary key,
    kind        text not null,
    subject     text collate "C" not null,
    sku         text collate "C" not null default '',
    location    text collate "C" not null default '',
    system      text collate "C" not null default '',
    detail      jsonb not null default '{}',
    sequence    bigint,
    opened_at   timestamptz not null default clock_timestamp(),
    seen        bigint not null default 1,
    last_seen_at timestamptz not null default clock_timestamp(),
    closed_at   timestamptz,
    closed_by   text not null default '',
    closed_why  text not null default ''
);
create unique index work_item_open on work_item (kind, subject) where closed_at is null;
create index work_item_by_sku on work_item (sku) where closed_at is null;

-- SKUs whose levels must be computed again. Appended by the ledger, consumed by the projection.
create table dirty (
    sku        text collate "C" not null,
    sequence   bigint not null,
    marked_at  timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.05);

-- ---------------------------------------------------------------- partitions

-- Makes the partitions that hold sequence numbers up to `upto`, a million numbers each.
create function make_ledger_partitions_v1(upto bigint) returns void
language plpgsql as $$
declare
    width constant bigint := 1000000;
    low   bigint := 0;
begin
    while low <= upto loop
        if to_regclass(format('event_%s', low / width)) is null then
            execute format('create table event_%s partition of event for values from (%s) to (%s)',
                           low / width, low, low + width);
            execute format('create table entry_%s partition of entry for values from (%s) to (%s)',
                           low / width, low, low + width);
        end if;
        low := low + width;
    end loop;
end
$$;
select make_ledger_partitions_v1(1999999);

-- Fails the transaction where a guarded change did not hit the rows it read.
create function expect_rows_v1(changed bigint, expected bigint, what text) returns void
language plpgsql as $$
begin
    if changed <> expected then
        raise exception 'expected % rows of %, changed %', expected, what, changed using errcode = '40001';
    end if;
end
$$;
