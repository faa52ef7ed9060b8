-- Publication complete: increases that wait for the channel's orders, decreases of channels that sell
-- faster than we compare, budgets per listing, and the most urgent first.

-- stale: comparisons that failed in a row; slipped: units the channel went down by meanwhile. held: how
-- far the number sent last was below the desired one. rest_until: no call for this listing before.
-- job: the partner is at work on the desired number. doubted: in doubt, or forced, since it was read back. short_at: found to show too little.
alter table level
    add column stale smallint not null default 0,
    add column slipped bigint not null default 0,
    add column held bigint not null default 0,
    add column rest_until timestamptz,
    add column job boolean not null default false,
    add column doubted boolean not null default false,
    add column short_at timestamptz;

-- Within a lane: 0 sold out, 1 a few left or sold out on the channel although there is stock, 2 others,
-- 3 first numbers and what is only sent again.
drop index level_due;
alter table level drop column behind;
alter table level
    add column urgency smallint not null generated always as (
        case when acknowledged is null or (resend and lane = 'increase' and acknowledged = desired)
             then 3
             when lane = 'decrease' and desired = 0 then 0
             when lane = 'decrease' and desired <= 5 or lane = 'increase' and acknowledged = 0 then 1
             else 2 end) stored;
create index level_due on level (channel, lane, urgency, due_at) where state = 'due';
create index level_job on level (channel, due_at) where state = 'due' and job;

-- held: how far below the number wanted then an attempt was, on purpose. waited: an increase that waited
-- for the channel's orders; its version tells nothing of how late a decrease would be.
alter table attempt
    add column held bigint not null default 0,
    add column waited boolean not null default false;

-- Up to when a system's orders are in the levels. recorded: up to when they were in the ledger at
-- recorded_at, while marks from before that wait for the projection.
create table orders_seen (
    system      text collate "C" primary key,
    seen        timestamptz,
    recorded    timestamptz,
    recorded_at timestamptz
);
