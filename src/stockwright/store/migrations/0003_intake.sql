-- The first door: who works on a payload, the parts of one that wait alone, and how far polls are.

alter table payload
    add column parent      bigint references payload (id),
    add column place       text not null default '',
    add column fragment    text not null default '',
    add column lease_until timestamptz,
    add column leased_by   text not null default '';

comment on column payload.parent is
    'The payload of which this is one part that could not be mapped or recorded; its body is there.';
comment on column payload.place is 'Where in the parent the part stands; the same for ever.';

-- A part is parked once, however often its payload is mapped.
create unique index payload_part on payload (parent, place) where parent is not null;
-- Who is before me under the same key?
create index payload_by_key on payload (system, raw_key, id)
    where raw_key <> '' and state in ('received', 'parked');
create index payload_by_missing on payload (missing) where state = 'parked' and missing <> '';

-- How far each connection has been asked. watermark is the start of its last complete poll.
create table poll_cursor (
    connection      text collate "C" primary key references system (code),
    cursor          text not null default '',
    poll_started_at timestamptz,
    watermark       timestamptz,
    last_success_at timestamptz,
    last_error      text not null default '',
    last_error_at   timestamptz,
    failures        integer not null default 0,
    due_at          timestamptz not null default clock_timestamp(),
    lease_until     timestamptz,
    leased_by       text not null default ''
);
