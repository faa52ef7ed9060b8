-- What each channel should show, what it does show, and every attempt to bring the two together.

-- One absolute quantity for (channel, listing, location); location '' is the channel's pool.
-- Which numbers the channel may be showing now: acknowledged, `sent` while a call is under way, and
-- everything between doubt_low and doubt_high that earlier calls left in doubt until doubt_until.
create table level (
    channel      text collate "C" not null,
    listing      text collate "C" not null,
    location     text collate "C" not null default '',
    -- desired
    desired      bigint not null check (desired >= 0),
    version      bigint not null,
    sequence     bigint not null,
    projected_at timestamptz not null,
    -- acknowledged; null where we never learned what the channel shows
    acknowledged         bigint,
    acknowledged_version bigint,
    acknowledged_at      timestamptz,
    -- read back from the partner
    verified     bigint,
    verified_at  timestamptz,
    -- under way: the call that holds the row, and what it carries
    call         bigint,
    lease_until  timestamptz,
    sent         bigint,
    sent_version bigint,
    sent_at      timestamptz,
    -- in doubt
    doubt_low    bigint,
    doubt_high   bigint,
    doubt_until  timestamptz,
    -- what happens next
    -- `kept` where nothing is sent: the channel's system has no connector, it asks our API
    state        text not null
                 check (state in ('due', 'sending', 'settled', 'refused', 'kept')),
    lane         text not null check (lane in ('decrease', 'increase')),
    due_at       timestamptz not null,
    waiting_since timestamptz not null,
    attempts     integer not null default 0,
    last_error   text not null default '',
    primary key (channel, listing, location),
    check ((state = 'sending') = (call is not null)),
    check (num_nulls(call, lease_until, sent, sent_version, sent_at) in (0, 5)),
    check (num_nulls(doubt_low, doubt_high, doubt_until) in (0, 3)),
    check (sent_version <= version and acknowledged_version <= version)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
create index level_due on level (channel, lane, (acknowledged is null), due_at) where state = 'due';
create index level_sending on level (channel, lease_until) where state = 'sending';
create index level_refused on level (channel, last_error) where state = 'refused';

-- Every number a channel was meant to show. It reflects the ledger up to sequence; the number before
-- it was found to be right up to since_sequence, so what changed it lies between the two.
create table level_change (
    channel      text collate "C" not null,
    listing      text collate "C" not null,
    location     text collate "C" not null,
    sequence     bigint not null,
    version      bigint not null,
    value        bigint not null,
    projected_at timestamptz not null,
    since_sequence bigint not null default 0,
    primary key (channel, listing, location, sequence, version)
);

create sequence publication_call as bigint;

-- One value of one level in one call. Committed before the bytes leave; outcome is null until the
-- answer is known, and stays null where the sender died: the value is in doubt until doubt_until.
create table attempt (
    call        bigint not null,
    n           smallint not null,
    channel     text collate "C" not null,
    listing     text collate "C" not null,
    location    text collate "C" not null,
    version     bigint not null,
    value       bigint not null,
    started_at  timestamptz not null,
    deadline    timestamptz not null,
    doubt_until timestamptz not null,
    finished_at timestamptz,
    outcome     text check (outcome in ('acknowledged', 'superseded', 'retry', 'refused', 'doubtful')),
    detail      text not null default '',
    primary key (call, n)
) with (fillfactor = 70);
create index attempt_by_level on attempt (channel, listing, location, version);

-- How a connection does, and the budget of calls that all workers share. A row is made at first use.
create table connection_state (
    system       text collate "C" primary key,
    paused       boolean not null default false,
    circuit      text not null default 'closed' check (circuit in ('closed', 'open', 'half_open')),
    failures     integer not null default 0,
    retry_at     timestamptz,
    last_success timestamptz,
    last_failure timestamptz,
    last_error   text not null default '',
    heartbeat    timestamptz,
    tokens       double precision not null default 1,
    refilled_at  timestamptz not null default clock_timestamp(),
    increase_credit double precision not null default 0
) with (fillfactor = 50);
