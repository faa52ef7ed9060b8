-- What is expected, what is owed, and when a number changes by time alone.

-- Safety stock of every place instead of the whole pool; lots that are good for long enough; supply
-- of the next days shown before it is there.
alter table exposure_policy
    add column safety_per text not null default 'network' check (safety_per in ('network', 'place')),
    add column min_shelf_life_days integer not null default 0 check (min_shelf_life_days >= 0),
    add column presell_days integer not null default 0 check (presell_days >= 0);

-- How long after its date expected supply is still believed in.
alter table location
    add column supply_grace_s numeric not null default 86400 check (supply_grace_s >= 0);

create index kit_by_component on kit (component);
create index transfer_under_way on transfer (sku) where sent > arrived + closed;

-- One line of a purchase order, of a ship notice, or of a transfer that is planned. A ship notice may
-- name the purchase order line it specifies. `done`: nothing more of it is to come under this name.
create table supply (
    id          bigint generated always as identity primary key,
    system      text collate "C" not null,
    document    text collate "C" not null,
    line        text collate "C" not null,
    kind        text not null check (kind in ('purchase_order', 'ship_notice', 'transfer')),
    revision    integer not null default 0 check (revision >= 0),
    sku         text collate "C" not null references sku (code),
    location    text collate "C" not null references location (code),
    quantity    bigint not null check (quantity >= 0),
    due_at      timestamptz not null,
    of_system   text collate "C" not null default '',
    of_document text collate "C" not null default '',
    of_line     text collate "C" not null default '',
    state       text not null default 'expected'
                check (state in ('expected', 'done', 'cancelled', 'closed')),
    reason      text not null default '',
    told_at     timestamptz not null default clock_timestamp(),
    unique (system, document, line, kind)
);
create index supply_expected on supply (sku) where state = 'expected';
create index supply_by_sku on supply (sku, id);
create index supply_specified on supply (of_system, of_document, of_line) where of_document <> '';

-- Units received under the name of an expected document, told by receipts, whether the document is
-- known or not. settled: what follows from it for the state of the document is written down.
create table supply_received (
    system   text collate "C" not null,
    document text collate "C" not null,
    line     text collate "C" not null,
    sku      text collate "C" not null,
    received bigint not null,
    settled  boolean not null default false,
    primary key (system, document, line, sku)
) with (fillfactor = 70);
create index supply_received_unsettled on supply_received (system, document, line) where not settled;

-- Units owed to a demand line that nothing was claimed for. served: claimed or shipped since then.
-- *_before are the demand line's counters when this was recorded.
create table backorder (
    id             bigint generated always as identity primary key,
    system         text collate "C" not null,
    order_ref      text collate "C" not null,
    line           text collate "C" not null,
    revision       integer not null default 0 check (revision >= 0),
    sku            text collate "C" not null references sku (code),
    channel        text collate "C" not null references channel (code),
    demand_class   integer not null,
    quantity       bigint not null check (quantity >= 0),
    served         bigint not null default 0 check (served >= 0),
    cancelled      bigint not null default 0 check (cancelled >= 0),
    claimed_before bigint not null default 0,
    cancelled_before bigint not null default 0,
    owed_since     timestamptz not null,
    state          text not null default 'owed' check (state in ('owed', 'served', 'cancelled', 'closed')),
    reason         text not null default '',
    changed_at     timestamptz not null default clock_timestamp(),
    version        bigint not null default 1,
    unique (system, order_ref, line)
) with (fillfactor = 70);
create index backorder_owed on backorder (sku) where state = 'owed';
create index backorder_by_sku on backorder (sku, id);

-- SKUs of which something may be owed: the ledger reads backorders for these and no others. A row is
-- made, with a new revision of the master, before the first backorder of its SKU.
create table backordered (
    sku   text collate "C" primary key references sku (code),
    since timestamptz not null default clock_timestamp()
);

-- When a SKU's numbers change although nothing happens: supply comes near or is overdue, a lot grows
-- too old for a channel.
create table due_time (
    sku    text collate "C" not null,
    due_at timestamptz not null,
    primary key (sku, due_at)
);
create index due_time_by_time on due_time (due_at);

-- ---------------------------------------------------------------- as they were

-- Rules keep the history of their new columns.
select keep_history_v1('exposure_policy'), keep_history_v1('location');

-- What is expected and owed, and what the ledger knows of transfers and lots, keeps its history by
-- time: it changes too often to be a revision of the rules each time. What a transaction wrote counts
-- from when it wrote it, so for the moment of a commit an explanation may be a step ahead.
create schema kept;
create function kept.keep_v1() returns trigger
language plpgsql as $$
declare
    at     constant timestamptz := clock_timestamp();
    course constant text := format('kept.%I', tg_table_name);
    keys   text;
begin
    select string_agg(format('told.%1$I = ($1).%1$I', name), ' and ') into keys from unnest(tg_argv) as name;
    if tg_op <> 'INSERT' then
        execute format('update %s told set until = $2 where %s and told.until is null', course, keys)
        using old, at;
    end if;
    if tg_op <> 'DELETE' then
        execute format('insert into %s select ($1).*, $2, null', course) using new, at;
    end if;
    return null;
end
$$;

-- Keeps the history of a table by time from here on. A migration that adds columns to the table adds
-- them to kept.TABLE, last but for since and until, and makes the view past.TABLE anew.
create function keep_history_by_time_v1(subject text) returns void
language plpgsql as $$
declare
    source  constant regclass := format('public.%I', subject)::regclass;
    keys    text;
    columns text;
begin
    select string_agg(quote_literal(a.attname), ', '), string_agg(format('%I', a.attname), ', ')
    into keys, columns
    from pg_index i
    cross join unnest(i.indkey) as k (attnum)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = source and i.indisprimary;
    execute format('create table kept.%1$I (like public.%1$I, since timestamptz not null, until timestamptz)',
                   subject);
    execute format('create index on kept.%1$I (%2$s, since)', subject, columns);
    execute format('insert into kept.%1$I select told.*, ''-infinity'', null from public.%1$I told', subject);
    execute format('create trigger history_by_time after insert or update or delete on public.%1$I
                    for each row execute function kept.keep_v1(%2$s)', subject, keys);
    select string_agg(format('%I', attname), ', ' order by attnum)
    into columns from pg_attribute where attrelid = source and attnum > 0 and not attisdropped;
    execute format('create view past.%1$I as select %2$s from kept.%1$I
                    where since <= past.moment_v1() and (until is null or until > past.moment_v1())',
                   subject, columns);
end
$$;

select keep_history_by_time_v1(subject)
from unnest(array['supply', 'supply_received', 'backorder', 'transfer', 'lot']) as subject;
create index supply_by_sku on kept.supply (sku);
create index supply_received_by_sku on kept.supply_received (sku);
create index backorder_by_sku on kept.backorder (sku);
create index transfer_by_sku on kept.transfer (sku);

create or replace view past.demand_line as
select line.id, line.system, line.order_ref, line.line, line.sku,
       case when exists (select from public.demand_channel known
                         where known.line_id = line.id and known.after_sequence >= past.sequence_asked())
            then '' else line.channel end as channel,
       (select moved.state from public.transition moved
        where moved.line_id = line.id and moved.sequence <= past.sequence_asked()
        order by moved.n desc limit 1) as state,
       null::timestamptz as expires_at,
       line.fresh_until
from public.demand_line line;
