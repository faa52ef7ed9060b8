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
