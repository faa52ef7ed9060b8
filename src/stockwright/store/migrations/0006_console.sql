-- Who is signed in to the console. Only the hash of a session's token is kept; the session ends
-- with its key.

create table console_session (
    token_hash bytea primary key,
    key_id     text collate "C" not null references api_key (id) on delete cascade,
    opened_at  timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index console_session_by_expiry on console_session (expires_at);
