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
    sequence bigint not null,
    system   text collate "C" not null,
    document text collate "C" not null,
    line     text collate "C" not null,
    sku      text collate "C" not null,
    quantity bigint not null,
    primary key (sequence, system, document, line, sku)
);
create index supply_receipt_by_line on supply_receipt (system, document, line);

-- Units that an order line is owed. They lower what others are granted until a reservation takes
-- them over, or they are cancelled or closed. Changed only in the ledger's lane. It is so since a
-- revision, made by whoever told or closed it, and since a sequence of the ledger.
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
    settled_by   bigint,
    revision     bigint not null,
    sequence     bigint not null,
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

-- ---------------------------------------------------------------- as of earlier

select keep_history_v1('exposure_policy');
select keep_history_v1('location');
select keep_history_v1('lot', 'ledger');

-- What was owed. Whoever tells holds the master data's lock and the lane, the ledger only the lane, so
-- both numbers of a row only rise from one state to the next: the state at a moment is the newest one
-- that neither number puts after it.
create table history.backorder (like backorder, n bigint not null, primary key (id, n));
create index backorder_by_sku on history.backorder (sku);
create function history.keep_backorder_v1() returns trigger
language plpgsql as $$
begin
    insert into history.backorder
    select new.*, coalesce(max(n), 0) + 1 from history.backorder kept where kept.id = new.id;
    return null;
end
$$;
create trigger history_of_backorder after insert or update on backorder
for each row execute function history.keep_backorder_v1();

create view past.backorder as
select told.* from history.backorder told
where told.revision <= past.revision_asked() and told.sequence <= past.sequence_asked()
  and not exists (
      select from history.backorder newer
      where newer.id = told.id and newer.n > told.n
        and newer.revision <= past.revision_asked() and newer.sequence <= past.sequence_asked());

-- Until when a demand line's goods must stay good is kept with its channel: both may be told late.
create table demand_freshness (
    line_id        bigint not null,
    after_sequence bigint not null,
    fresh_until    date,
    primary key (line_id, after_sequence)
);
create function note_demand_freshness_v1() returns trigger
language plpgsql as $$
begin
    insert into public.demand_freshness (line_id, after_sequence, fresh_until)
    values (new.id, history.number_v1('ledger') - 1, old.fresh_until)
    on conflict do nothing;
    return null;
end
$$;
create trigger demand_freshness_changes after update of fresh_until on demand_line
for each row when (old.fresh_until is distinct from new.fresh_until)
execute function note_demand_freshness_v1();

drop view past.demand_line;
create view past.demand_line as
select line.id, line.system, line.order_ref, line.line, line.sku,
       case when exists (select from public.demand_channel known
                         where known.line_id = line.id and known.after_sequence >= past.sequence_asked())
            then '' else line.channel end as channel,
       (select moved.state from public.transition moved
        where moved.line_id = line.id and moved.sequence <= past.sequence_asked()
        order by moved.n desc limit 1) as state,
       null::timestamptz as expires_at,
       case when later.line_id is null then line.fresh_until else later.fresh_until end as fresh_until
from public.demand_line line
left join lateral (
    select noted.line_id, noted.fresh_until from public.demand_freshness noted
    where noted.line_id = line.id and noted.after_sequence >= past.sequence_asked()
    order by noted.after_sequence limit 1
) later on true;
