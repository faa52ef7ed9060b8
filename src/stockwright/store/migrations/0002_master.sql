-- What a channel sold from and by which rules, from when on: explanations of an earlier moment use
-- the rules that were in force then.
create table channel_history (
    channel      text collate "C" not null references channel (code),
    valid_from   timestamptz not null,
    pool         text[] not null,
    demand_class integer not null,
    allow_split  boolean not null,
    policies     jsonb not null,
    primary key (channel, valid_from)
);

create index location_group_by_location on location_group (location);
