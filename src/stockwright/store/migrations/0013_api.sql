-- What the whole API needs: a place in the feed for every change of a level,
-- and ways to look up transfers and changes.

-- A change of a level takes its place in the feed under a lock that it holds until it is committed, so
-- that a reader who goes on after the last place never skips one. after_sequence is the head of the
-- ledger at that time: it stands in the feed behind that event, and before the next one.
create sequence level_change_position as bigint;
alter table level_change add column position bigint, add column after_sequence bigint;
update level_change set position = placed.position, after_sequence = placed.sequence
from (select channel, listing, location, sequence, version,
             row_number() over (order by sequence, projected_at, channel, listing, location, version)
                 as position
      from level_change) placed
where (level_change.channel, level_change.listing, level_change.location, level_change.sequence,
       level_change.version)
    = (placed.channel, placed.listing, placed.location, placed.sequence, placed.version);
select setval('level_change_position', greatest(1, (select count(*) from level_change)),
              exists (select from level_change));
alter table level_change
    alter column position set default nextval('level_change_position'),
    alter column position set not null,
    alter column after_sequence set not null;
create unique index level_change_by_position on level_change (position);

create index transfer_by_sku on transfer (sku, to_location, lot);
create index change_log_by_actor on change_log (actor, id);
