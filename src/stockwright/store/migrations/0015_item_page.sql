-- What an item's page needs: who counted what, and what channels were found to show at any time.

-- Counts and snapshots by the code they name, newest first per system and place.
create index event_told_by_item on event (
    (coalesce(body ->> 'sku', body ->> 'item')) collate "C", system,
    (coalesce(body ->> 'location', '')) collate "C", sequence
) where kind in ('count', 'snapshot');

-- From first_at to last_at a level was read back, once or more, and showed one number; null where it
-- showed none. Nothing was acknowledged between the two.
create table level_seen (
    channel  text collate "C" not null,
    listing  text collate "C" not null,
    location text collate "C" not null,
    first_at timestamptz not null,
    last_at  timestamptz not null check (last_at >= first_at),
    shown    bigint,
    primary key (channel, listing, location, first_at)
) with (fillfactor = 80);

insert into level_seen (channel, listing, location, first_at, last_at, shown)
select channel, listing, location, verified_at, verified_at, verified
from level where verified_at is not null;

create function note_level_seen_v1() returns trigger
language plpgsql as $$
begin
    update public.level_seen kept set last_at = new.verified_at
    where kept.channel = new.channel and kept.listing = new.listing and kept.location = new.location
      and kept.first_at = (
          select max(newest.first_at) from public.level_seen newest
          where newest.channel = new.channel and newest.listing = new.listing
            and newest.location = new.location)
      and kept.last_at <= new.verified_at
      and kept.shown is not distinct from new.verified
      and (new.acknowledged_at is null or new.acknowledged_at <= kept.first_at);
    if not found and new.verified_at is not null then
        insert into public.level_seen (channel, listing, location, first_at, last_at, shown)
        values (new.channel, new.listing, new.location, new.verified_at, new.verified_at, new.verified)
        on conflict (channel, listing, location, first_at)
        do update set last_at = excluded.last_at, shown = excluded.shown;
    end if;
    return null;
end
$$;
create trigger level_is_seen after update of verified_at on level
for each row when (new.verified_at is distinct from old.verified_at)
execute function note_level_seen_v1();

-- What we took a channel to show otherwise than by its taking what it was sent: it told another number,
-- or it was read back and showed more than it should. null where it is not known any more.
create table level_found (
    channel  text collate "C" not null,
    listing  text collate "C" not null,
    location text collate "C" not null,
    at       timestamptz not null,
    shown    bigint,
    why      text not null,
    primary key (channel, listing, location, at)
);

create function note_level_found_v1() returns trigger
language plpgsql as $$
begin
    insert into public.level_found (channel, listing, location, at, shown, why)
    values (new.channel, new.listing, new.location, clock_timestamp(), new.acknowledged, new.last_error);
    return null;
end
$$;
create trigger level_is_found after update of acknowledged on level
for each row when (new.acknowledged is distinct from old.acknowledged
                   and new.acknowledged_at is not distinct from old.acknowledged_at)
execute function note_level_found_v1();
