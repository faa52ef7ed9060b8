-- Outside consumers that changes are delivered to, and how far each of them has come.

-- What is told, and where. paused_why says who or what stopped it; the change log has all of it.
create table subscription (
    id         bigint generated always as identity primary key,
    name       text collate "C" not null unique,
    via        text collate "C" not null check (via in ('webhook', 'queue')),
    url        text not null default '',
    system     text collate "C" not null default '',
    subject    text not null default '',
    filters    jsonb not null default '{}',
    batch      integer not null check (batch between 1 and 500),
    created_at timestamptz not null default clock_timestamp(),
    created_by text not null,
    paused_at  timestamptz,
    paused_by  text not null default '',
    paused_why text not null default '',
    check ((via = 'webhook') = (url <> '')),
    check ((via = 'queue') = (system <> '' and subject <> ''))
);

-- What a webhook is signed with. While one is replaced there are two, and both sign. Kept in clear,
-- for both sides need it; no list, log or history shows it.
create table subscription_secret (
    id           bigint generated always as identity primary key,
    subscription bigint not null references subscription (id) on delete cascade,
    secret       text not null,
    added_at     timestamptz not null default clock_timestamp(),
    expires_at   timestamptz
);
create index subscription_secret_by_subscription on subscription_secret (subscription);

-- How far a consumer has come: the last event and the last change of a level that it said yes to.
-- to_*: the end of the message under way, fixed before it is sent, so that a second try is the same
-- message. turn is raised by each replay: what was begun before it moves nothing any more.
create table subscription_progress (
    subscription  bigint primary key references subscription (id) on delete cascade,
    sequence      bigint not null,
    place         bigint not null,
    to_sequence   bigint,
    to_place      bigint,
    turn          bigint not null default 0,
    failures      integer not null default 0 check (failures >= 0),
    failing_since timestamptz,
    due_at        timestamptz not null default clock_timestamp(),
    last_error    text not null default '',
    delivered     bigint not null default 0,
    delivered_at  timestamptz,
    lease_until   timestamptz,
    leased_by     text collate "C" not null default '',
    check ((to_sequence is null) = (to_place is null)),
    check ((failures = 0) = (failing_since is null))
) with (fillfactor = 50);
