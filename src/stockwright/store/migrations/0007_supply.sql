-- Kits in listings, safety stock per place, shelf life; supply that is expected, units that are owed.

create index kit_by_component on kit (component);

alter table exposure_policy
    add safety_per text not null default 'network' check (safety_per in ('network', 'place')),
    add min_shelf_life_days integer not null default 0 check (min_shelf_life_days >= 0);

-- The last day (UTC) up to which lots that fell short of the shelf life asked for were marked dirty.
create table shelf_life_day (
    one boolean primary key default true check (one),
    day date not null
);
insert into shelf_life_day (day) values (current_date);

-- Seconds that supply may be overdue at a place before nothing is promised on it.
alter table location add supply_grace_s integer not null default 86400 check (supply_grace_s >= 0);

-- What a partner says will arrive: a line of a purchase order, of an advance ship notice, or of a
-- transfer that has not left yet. of_* names the purchase order line that a notice specifies.
create table supply (
    id          bigint generated always as identity primary key,
    system      text collate "C" not null,
    document    text collate "C" not null,
    line        text collate "C" not null,
    kind        text not null check (kind in ('purchase_order', 'asn', 'transfer')),
    sku         text collate "C" not null references sku (code),
    location    text collate "C" not null references location (code),
    quantity    bigint not null check (quantity > 0),
    due_at      timestamptz not null,
    of_system   text collate "C" not null default '',
    of_document text collate "C" not null default '',
    of_line     text collate "C" not null default '',
    told_at     timestamptz not null default clock_timestamp(),
    overdue_at  timestamptz,
    closed_at   timestamptz,
    closed_by   text not null default '',
    closed_why  text not null default '',
    unique (system, document, line)
);
create index supply_open_by_sku on supply (sku) where closed_at is null;
create index supply_of_order on supply (of_system, of_document, of_line) where of_document <> '';
create index supply_due on supply (due_at) where closed_at is null and overdue_at is null;

-- Units that came in against a line of supply, known or not heard of yet; taken back ones are below
-- zero. Written by the ledger with the event.
create table supply_receipt (
    sequence bigint primary key,
    system   text collate "C" not null,
    document text collate "C" not null,
    line     text collate "C" not null,
    sku      text collate "C" not null,
    quantity bigint not null
);
create index supply_receipt_by_line on supply_receipt (system, document, line);

-- Units that an order line is owed. They lower what others are granted until a reservation takes
-- them over, or they are cancelled or closed. Changed only in the ledger's lane.
create table backorder (
    id           bigint generated always as identity primary key,
    system       text collate "C" not null,
    order_ref    text collate "C" not null,
    line         text collate "C" not null,
    sku          text collate "C" not null references sku (code),
    channel      text collate "C" not null references channel (code),
    demand_class integer not null,
    quantity     bigint not null check (quantity > 0),
    owed         bigint not null check (owed >= 0 and owed <= quantity),
    promoted     bigint not null default 0 check (promoted >= 0),
    cancelled    bigint not null default 0 check (cancelled >= 0),
    owed_since   timestamptz not null,
    sequence     bigint,
    closed_at    timestamptz,
    closed_by    text not null default '',
    closed_why   text not null default '',
    unique (system, order_ref, line),
    check ((owed = 0) = (closed_at is not null))
);
create index backorder_open_by_sku on backorder (sku) where owed > 0;

-- SKUs for which every process reads what is owed before it grants. Changed with master_revision.
create table owed_sku (
    sku text collate "C" primary key references sku (code)
);
