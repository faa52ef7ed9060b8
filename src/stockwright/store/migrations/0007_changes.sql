-- The feed of changes: level changes get an order of their own, in which they were committed.

-- The last position given out. Whoever writes level changes draws from this row and so holds it until
-- the transaction ends: positions are committed in their order, and have no holes.
create table feed_head (
    one      boolean primary key default true check (one),
    position bigint not null
) with (fillfactor = 50);

-- Null for a row that no projection wrote; the feed leaves it out.
alter table level_change add column position bigint;

with ordered as (
    select channel, listing, location, sequence, version,
           row_number() over (order by projected_at, sequence, channel, listing, location, version)
               as position
    from level_change
)
update level_change
set position = ordered.position
from ordered
where level_change.channel = ordered.channel and level_change.listing = ordered.listing
  and level_change.location = ordered.location and level_change.sequence = ordered.sequence
  and level_change.version = ordered.version;

insert into feed_head (position) select coalesce(max(position), 0) from level_change;

create unique index level_change_by_position on level_change (position);
