-- One feed of the ledger's events and the changes of levels.

-- name: wait_for_writers
-- Waits until nobody is between taking places in the feed and committing them; gives way at once.
select pg_advisory_xact_lock_shared(%(lock)s);

-- name: short_wait
-- Somebody frozen with the lock in hand is cut off by the server; until then nobody waits for long.
select set_config('lock_timeout', '1000', true);

-- name: ends
-- The last sequence number of the ledger and the last place of a change of a level.
select coalesce((select sequence from ledger_head where lane = 0), 0),
       coalesce((select max(position) from level_change), 0);

-- name: events
-- Events after one sequence number up to another, in order.
select sequence, kind, system, outcome, occurred_at, received_at, recorded_at, payload, body, answer
from event
where sequence > %(after)s and sequence <= %(upto)s
order by sequence limit %(limit)s;

-- name: moves
-- The entries of the events from one sequence number to another, in order.
select sequence, sku, lot, from_account::text, from_location, to_account::text, to_location, quantity,
       coalesce(transfer, '')
from entry where sequence between %(first)s and %(last)s
order by sequence, n;

-- name: level_changes
-- Changes of levels after one place up to another, in order.
select change.after_sequence, change.position, change.channel, channel.system, change.listing,
       change.location, change.value, change.version, change.sequence, change.projected_at,
       array(select part.sku from listing_component part
             where part.channel = change.channel and part.listing = change.listing order by part.sku)
from level_change change
join channel on channel.code = change.channel
where change.position > %(after)s and change.position <= %(upto)s
order by change.position limit %(limit)s;

-- name: events_at
-- Events by their sequence numbers, in order.
select sequence, kind, system, outcome, occurred_at, received_at, recorded_at, payload, body, answer
from event where sequence = any (%(sequences)s::bigint[])
order by sequence;

-- name: moves_at
-- The entries of events by their sequence numbers, in order.
select sequence, sku, lot, from_account::text, from_location, to_account::text, to_location, quantity,
       coalesce(transfer, '')
from entry where sequence = any (%(sequences)s::bigint[])
order by sequence, n;
