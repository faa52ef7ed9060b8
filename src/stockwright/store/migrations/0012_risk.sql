-- The risk-bounded buffer: what policies say, what is remembered of demand, how long channels sell
-- blindly, who is silent, and the buffers that follow from it.

alter table exposure_policy
    add column ring_fence_mode     text not null default 'consumed'
                                   check (ring_fence_mode in ('consumed', 'standing')),
    add column buffer_percent      double precision not null default 0
                                   check (buffer_percent between 0 and 100),
    add column buffer_risk         double precision check (buffer_risk > 0 and buffer_risk < 1),
    add column buffer_most         bigint check (buffer_most >= 0),
    add column buffer_most_percent double precision not null default 100
                                   check (buffer_most_percent between 0 and 100),
    add column blind_s             double precision not null default 0 check (blind_s >= 0),
    add column degraded_cap        bigint check (degraded_cap >= 0);

alter table system add column heartbeat_s numeric not null default 0;

-- How far the ledger's entries are counted into demand_seen, and since when they are.
create table demand_cursor (
    one      boolean primary key default true check (one),
    sequence bigint not null default 0,
    since    timestamptz,
    -- lines by hour of the week, from Monday 00:00 UTC, decayed to hours_as_of
    hours       double precision[] not null default array_fill(0::double precision, array[168]),
    hours_as_of timestamptz not null default 'epoch'
) with (fillfactor = 50);
insert into demand_cursor default values;

-- When a SKU first moved: how long its demand has been watched.
create table demand_sku (
    sku   text collate "C" primary key,
    since timestamptz not null
);

-- Demand lines by size (domain/line_sizes.py), each decayed by its age at as_of. channel '' is demand
-- that no channel brought. A row of SKU '' sums up a group of SKUs.
create table demand_seen (
    sku       text collate "C" not null,
    sku_group text collate "C" not null default '',
    system    text collate "C" not null,
    channel   text collate "C" not null,
    as_of     timestamptz not null,
    lines     double precision not null,
    units     double precision not null,
    sizes     double precision[] not null,
    primary key (sku, sku_group, system, channel),
    check ((sku = '') or (sku_group = ''))
) with (fillfactor = 60);

-- How late a system tells of demand: lines by seconds between occurring and being recorded, in powers
-- of two, decayed to as_of.
create table source_lag (
    system text collate "C" primary key,
    as_of  timestamptz not null,
    lags   double precision[] not null
) with (fillfactor = 60);

-- When a system last gave a sign of life by itself.
create table heartbeat (
    system  text collate "C" primary key references system (code),
    seen_at timestamptz not null
) with (fillfactor = 50);

-- A source of stock that is silent now. Raises the master's revision, for the ledger caps by it.
create table degraded (
    system       text collate "C" primary key,
    silent_since timestamptz not null,
    reason       text not null
);

-- Seconds a sale is not reflected in what a channel shows, by the system that tells of the sale, from
-- when on. The newest row counts. source '' is the channel's own publication.
create table blind_window (
    channel    text collate "C" not null,
    source     text collate "C" not null,
    valid_from timestamptz not null,
    seconds    double precision not null check (seconds >= 0),
    why        text not null,
    primary key (channel, source, valid_from)
);

-- The buffer of a SKU on a channel; inputs are what its number was last found from.
create table buffer_now (
    channel     text collate "C" not null,
    sku         text collate "C" not null,
    units       bigint not null check (units >= 0),
    inputs      jsonb not null,
    computed_at timestamptz not null,
    primary key (channel, sku)
) with (fillfactor = 70);
create index buffer_now_by_sku on buffer_now (sku);

select keep_history_v1(subject)
from unnest(array['exposure_policy', 'system', 'buffer_now', 'degraded']) as subject;
create index buffer_now_by_sku on history.buffer_now (sku);
