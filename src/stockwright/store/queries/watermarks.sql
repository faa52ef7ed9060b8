-- Up to when a channel's orders are in its levels.

-- name: progress
-- How far a system's orders have come: (now, watermark of its polls, whether payloads kept by then are
-- still to be recorded, seen, recorded, recorded_at, whether marks from before recorded_at wait, whether
-- any does). What stands behind a parked payload waits for a person, and is not waited for.
select clock_timestamp(), poll.watermark,
       exists (select from payload waiting
               where waiting.system = %(system)s and waiting.state = 'received'
                 and waiting.received_at <= poll.last_success_at
                 and not exists (select from payload parked
                                 where parked.system = waiting.system and parked.state = 'parked'
                                   and waiting.raw_key <> '' and parked.raw_key = waiting.raw_key)),
       orders.seen, orders.recorded, orders.recorded_at,
       exists (select from dirty where marked_at <= orders.recorded_at),
       exists (select from dirty)
from (values (1)) as one
left join poll_cursor poll on poll.connection = %(system)s
left join orders_seen orders on orders.system = %(system)s;

-- name: keep
-- Keeps how far they have come.
insert into orders_seen (system, seen, recorded, recorded_at)
values (%(system)s, %(seen)s, %(recorded)s, %(recorded_at)s)
on conflict (system) do update
set seen = excluded.seen, recorded = excluded.recorded, recorded_at = excluded.recorded_at;

-- name: standing
-- Whether increases of these channels are due that may go (due until a time), and whether some are that
-- must wait. Asked rank by rank and in order of time, so that the index answers however many there are.
select coalesce(bool_or(first_due <= %(until)s), false), coalesce(bool_or(next_due <= %(now)s), false)
from unnest(%(channels)s::text[]) as asked (channel)
cross join generate_series(0, 3) as ranks (urgency)
left join lateral (
    select due_at as first_due from level
    where level.channel = asked.channel and lane = 'increase' and state = 'due'
      and level.urgency = ranks.urgency
    order by due_at limit 1
) first on true
left join lateral (
    select due_at as next_due from level
    where level.channel = asked.channel and lane = 'increase' and state = 'due'
      and level.urgency = ranks.urgency and due_at > %(until)s
    order by due_at limit 1
) next on true;

-- name: ask
-- Makes the next poll of a system's orders due now; not while one is under way, waits for its turn or they
-- fail, and at most every so many seconds.
update poll_cursor set due_at = clock_timestamp()
where connection = %(system)s and due_at > clock_timestamp() and failures = 0
  and (lease_until is null or lease_until < clock_timestamp())
  and (held_until is null or held_until < clock_timestamp())
  and (last_success_at is null
       or last_success_at <= clock_timestamp() - %(gap_s)s * interval '1 second');
