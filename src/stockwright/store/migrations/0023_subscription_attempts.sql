-- What became of the last messages to each outside consumer, for the people who look after it.

-- error names no part of the consumer's address that may be a key. The newest hundred of each are kept.
create table subscription_attempt (
    id           bigint generated always as identity primary key,
    subscription bigint not null references subscription (id) on delete cascade,
    at           timestamptz not null default clock_timestamp(),
    took_ms      integer not null check (took_ms >= 0),
    changes      integer not null check (changes > 0),
    outcome      text not null check (outcome in ('taken', 'failed', 'gone')),
    error        text not null default ''
);
create index subscription_attempt_by_subscription on subscription_attempt (subscription, id);
