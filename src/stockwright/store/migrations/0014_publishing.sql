-- What operators do about publication: channels that are paused, levels that are sent again though
-- nothing changed, and the limits by which is told how long that takes.

-- A paused channel is sent nothing; its levels go on being computed.
create table channel_pause (
    channel   text collate "C" primary key references channel (code),
    paused_at timestamptz not null default clock_timestamp(),
    paused_by text not null,
    why       text not null
);

-- resend: an operator asked for the acknowledged number to be sent once more. Such levels wait behind
-- all that differ, as first numbers do.
alter table level
    add column resend boolean not null default false,
    add check (not resend or state <> 'settled');
alter table level
    add column behind boolean not null generated always as
        (acknowledged is null or (resend and lane = 'increase' and acknowledged = desired)) stored;
drop index level_due;
create index level_due on level (channel, lane, behind, due_at) where state = 'due';

-- resent: the channel had acknowledged this very number. Its version tells nothing of its latency.
alter table attempt add column resent boolean not null default false;
create index attempt_by_channel on attempt (channel, call);

-- What a worker keeps to when it calls the partner, as the connector and its settings say.
alter table connection_state add column limits jsonb;

-- What a resync makes of each level: `again` are sent once more, all others are left alone. A level is
-- unfounded where it is 0 and the ledger never held anything of what its listing is made of, kits taken
-- apart. `offset 0`: asked row by row over the keys, for a hash of all balances takes longer each time.
create view level_standing as
select level.channel, level.listing, level.location, level.desired,
       case when level.state in ('due', 'sending') then 'waiting'
            when level.state in ('refused', 'kept') then level.state
            when listing.active is not true then 'unlisted'
            when level.desired > 0 then 'again'
            when exists (
                select from listing_component part join balance on balance.sku = part.sku
                where part.channel = level.channel and part.listing = level.listing
                offset 0
            ) then 'again'
            when exists (
                with recursive below (sku) as (
                    select part.sku from listing_component part
                    where part.channel = level.channel and part.listing = level.listing
                    union
                    select kit.component from below join kit on kit.sku = below.sku
                )
                select from below join balance on balance.sku = below.sku
            ) then 'again'
            else 'unfounded' end as standing
from level
left join listing on listing.channel = level.channel and listing.code = level.listing;
