-- Who may call the API, what it answered under a caller's key, and who changed what.

-- An API key. Its secret is 256 random bits, so one round of SHA-256 cannot be searched backwards;
-- only that hash is kept. A key bound to a system speaks for that system alone.
create table api_key (
    id           text collate "C" primary key,
    name         text not null,
    hash         bytea not null,
    scopes       text[] not null,
    system       text collate "C" not null default '',
    created_at   timestamptz not null default clock_timestamp(),
    created_by   text not null default '',
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
) with (fillfactor = 70);

-- The stored answer to a POST that carried an Idempotency-Key. status is null while the first call
-- is still being answered; locked_until ends the wait where that call died.
create table idempotency (
    caller       text collate "C" not null,
    key          text collate "C" not null,
    request_hash bytea not null,
    status       smallint,
    body         bytea,
    content_type text not null default '',
    locked_until timestamptz not null,
    expires_at   timestamptz not null,
    primary key (caller, key)
);
create index idempotency_by_expiry on idempotency (expires_at);

-- Who changed what, when. actor is an API key's id, or the command that was run.
create table change_log (
    id         bigint generated always as identity primary key,
    changed_at timestamptz not null default clock_timestamp(),
    actor      text not null,
    action     text not null,
    subject    text not null,
    detail     jsonb not null default '{}'
);
create index change_log_by_subject on change_log (subject, id);

-- The processes of this installation and how their parts are doing; a row is renewed every few
-- seconds, so that an old seen_at means that the process is gone.
create table process (
    worker     text collate "C" primary key,
    roles      text[] not null,
    started_at timestamptz not null default clock_timestamp(),
    seen_at    timestamptz not null default clock_timestamp(),
    parts      jsonb not null default '[]'
) with (fillfactor = 50);
