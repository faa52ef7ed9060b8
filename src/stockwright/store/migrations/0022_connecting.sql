-- Connecting a partner step by step: how far each connection is, what its partner said, and what would
-- have been sent to it.

-- The stage of a connection that is connected by steps; one without a row is live. Its workers ask it
-- nothing before `shadow`, and nothing is sent to it before `live`.
create table connecting (
    system text collate "C" primary key references system (code),
    stage  text not null check (stage in ('added', 'shadow', 'live')),
    since  timestamptz not null default clock_timestamp(),
    actor  text not null,
    why    text not null default '',
    forced boolean not null default false
);

-- The last outcome of each step. settings is a digest of what the connection was opened with then: a test
-- of other settings proves nothing.
create table connecting_step (
    system   text collate "C" not null references system (code),
    step     text not null check (step in ('settings', 'credentials', 'sample', 'items', 'opening_stock',
                                           'shadow', 'live')),
    state    text not null check (state in ('done', 'attention', 'failed', 'skipped')),
    at       timestamptz not null default clock_timestamp(),
    actor    text not null,
    note     text not null default '',
    settings text not null default '',
    detail   jsonb not null default '{}',
    primary key (system, step)
);

-- The items a partner was seen to name in the last test, and how they stand in the item master. seen are
-- the units in which they came, one a line; an empty one says none.
create table partner_item (
    system text collate "C" not null references system (code),
    code   text collate "C" not null,
    state  text not null check (state in ('matched', 'unknown', 'unit_conflict')),
    sku    text collate "C" not null default '',
    unit   text collate "C" not null default '',
    why    text not null default '',
    seen   text not null default '',
    primary key (system, code)
);

-- What a partner last said it shows or holds, in its own codes, and as of when.
create table partner_shown (
    system   text collate "C" not null references system (code),
    code     text collate "C" not null,
    location text collate "C" not null default '',
    lot      text collate "C" not null default '',
    unit     text collate "C" not null default '',
    quantity bigint not null,
    as_of    timestamptz not null,
    primary key (system, code, location, lot)
);

-- Levels of connections in shadow as they would have been sent: the last number, and how often another.
create table shadow_level (
    channel  text collate "C" not null references channel (code),
    listing  text collate "C" not null,
    location text collate "C" not null default '',
    version  bigint not null,
    desired  bigint not null,
    first_at timestamptz not null default clock_timestamp(),
    noted_at timestamptz not null default clock_timestamp(),
    times    integer not null default 1,
    primary key (channel, listing, location)
);
