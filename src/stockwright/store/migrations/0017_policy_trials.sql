-- Exposure policies that somebody tries before they hold: the rules as they would be, and what trying
-- them out found. A trial outlives the process that computes it, and any process may show it.

create table policy_trial (
    id       bigint generated always as identity primary key,
    channel  text collate "C" not null,
    owner    text collate "C" not null,
    made_at  timestamptz not null default clock_timestamp(),
    -- the revision of the configuration that the rules were planned on
    revision bigint not null,
    rules    jsonb not null,
    -- why, as far as it was said before it was applied
    reason   text not null default '',
    -- the revision that they became
    applied  bigint
);
create index policy_trial_by_time on policy_trial (made_at);

-- What is computed for a trial. Whoever computes says from time to time that it still does, and how much
-- it has looked at; one that does so no more is taken over.
create table policy_trial_run (
    trial    bigint not null references policy_trial (id) on delete cascade,
    kind     text not null check (kind in ('preview', 'replay')),
    state    text not null default 'waiting'
             check (state in ('waiting', 'running', 'done', 'failed', 'stopped')),
    attempts integer not null default 0,
    asked_at timestamptz not null default clock_timestamp(),
    beat_at  timestamptz,
    seen     bigint not null default 0,
    result   jsonb,
    error    text not null default '',
    primary key (trial, kind)
) with (fillfactor = 60);
create index policy_trial_run_open on policy_trial_run (asked_at) where state in ('waiting', 'running');
