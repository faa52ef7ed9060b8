-- The feed of changes: events of the ledger by sequence, level changes by position. Both orders are
-- those of their commits, so that nothing appears before a place that was read already.

-- name: heads
-- The newest event and the newest level change: (sequence, position).
select (select coalesce(max(sequence), 0) from ledger_head), (select position from feed_head);

-- name: events
-- The next events after a sequence number, of at most `scan` looked at, in order, with their moves as
-- JSON. Every row begins with the number up to which was looked, and the head; there is one at least.
select looked.upto, looked.head, found.*
from (
    select least(head, %(after)s + %(scan)s) as upto, head
    from (select coalesce(max(sequence), 0) as head from ledger_head) newest
) looked
left join lateral (
    select event.sequence, event.kind, event.system, event.outcome, event.occurred_at,
           event.received_at, event.recorded_at, event.body::text,
           (select json_agg(json_build_object(
                'sku', sku, 'lot', lot, 'from_account', from_account,
                'from_location', from_location, 'to_account', to_account,
                'to_location', to_location, 'quantity', quantity) order by n)::text
            from entry where entry.sequence = event.sequence)
    from event
    where event.sequence > %(after)s and event.sequence <= looked.upto
      and (%(kinds)s::text[] is null or event.kind = any (%(kinds)s::text[]))
      and (%(systems)s::text[] is null or event.system = any (%(systems)s::text[]))
      and (%(channels)s::text[] is null or event.body ->> 'channel' = any (%(channels)s::text[]))
      and ((%(skus)s::text[] is null and %(locations)s::text[] is null)
           or exists (
               select from entry
               where entry.sequence = event.sequence
                 and (%(skus)s::text[] is null or entry.sku = any (%(skus)s::text[]))
                 and (%(locations)s::text[] is null
                      or entry.from_location = any (%(locations)s::text[])
                      or entry.to_location = any (%(locations)s::text[]))))
    order by event.sequence
    limit %(limit)s
) found on true
order by found.sequence;

-- name: levels
-- The next level changes after a position, of at most `scan` looked at, in order. Every row begins with
-- the position up to which was looked, and the head; there is one at least. A level is of a SKU whose
-- unit its listing holds, and of the system its channel belongs to.
select looked.upto, looked.head, found.*
from (
    select least(position, %(after)s + %(scan)s) as upto, position as head from feed_head
) looked
left join lateral (
    select change.position, change.channel, change.listing, change.location, change.version,
           change.value, change.sequence, change.projected_at
    from level_change change
    where change.position > %(after)s and change.position <= looked.upto
      and (%(channels)s::text[] is null or change.channel = any (%(channels)s::text[]))
      and (%(locations)s::text[] is null or change.location = any (%(locations)s::text[]))
      and (%(systems)s::text[] is null
           or exists (select from channel
                      where channel.code = change.channel
                        and channel.system = any (%(systems)s::text[])))
      and (%(skus)s::text[] is null
           or exists (select from listing_component part
                      where part.channel = change.channel and part.listing = change.listing
                        and part.sku = any (%(skus)s::text[])))
    order by change.position
    limit %(limit)s
) found on true
order by found.position;
