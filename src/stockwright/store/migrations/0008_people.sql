-- Named users of the console, their sessions, and failed attempts to sign in.

-- A user is never deleted, only disabled: the change log names them. password is empty where nobody
-- can sign in with one, else `scrypt$LOG2N$R$P$SALT$HASH`.
create table app_user (
    id             bigint generated always as identity primary key,
    name           text collate "C" not null unique check (name = lower(name)),
    role           text not null check (role in ('viewer', 'operator', 'admin')),
    password       text not null default '',
    must_change    boolean not null default false,
    created_at     timestamptz not null default clock_timestamp(),
    created_by     text not null default '',
    disabled_at    timestamptz,
    signed_in_at   timestamptz
);

-- Who is signed in. Only the hash of a session's token is kept. A session ends when it was idle too
-- long, when it is too old, and with its user. Sessions of API keys, which people used before, end
-- here.
drop table console_session;
create table console_session (
    id         bigint generated always as identity primary key,
    token_hash bytea not null unique,
    user_id    bigint not null references app_user (id) on delete cascade,
    opened_at  timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    address    text not null default '',
    agent      text not null default ''
) with (fillfactor = 50);
create index console_session_by_user on console_session (user_id);

-- Attempts to sign in that were not followed by a right password, for as long as they slow down the
-- next ones. account is a hash of the name: people type passwords into the wrong field.
create table sign_in_failure (
    id      bigint generated always as identity primary key,
    at      timestamptz not null default clock_timestamp(),
    account bytea not null,
    address text collate "C" not null
);
create index sign_in_failure_by_account on sign_in_failure (account, at);
create index sign_in_failure_by_address on sign_in_failure (address, at);
create index sign_in_failure_by_time on sign_in_failure (at);

-- What a person set for the console; owner is a user's name, or `demo`.
create table console_setting (
    owner     text collate "C" primary key,
    time_zone text not null default '',
    theme     text not null default '' check (theme in ('', 'light', 'dark'))
);
