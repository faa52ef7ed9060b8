-- The processes of an installation, and what waits in it.

-- name: seen
-- Renews what is known of a process.
INSERT INTO process (worker, roles, parts) VALUES (%(worker)s, %(roles)s, %(parts)s)
ON CONFLICT (worker) DO UPDATE
SET roles = excluded.roles, parts = excluded.parts, seen_at = clock_timestamp();

-- name: gone
-- Forgets a process that ended in order.
DELETE FROM process WHERE worker = %(worker)s;

-- name: forget_old
-- Forgets processes that were not seen for a day.
DELETE FROM process WHERE seen_at < clock_timestamp() - interval '1 day';

-- name: processes
-- Every process, with the seconds since it was seen.
SELECT worker, roles, started_at, seen_at,
       extract(epoch FROM clock_timestamp() - seen_at)::float8, parts
FROM process ORDER BY worker;

-- name: waiting
-- What waits in the house: one row of numbers.
SELECT (SELECT sequence FROM ledger_head WHERE lane = 0),
       (SELECT count(*) FROM payload WHERE state = 'received'),
       (SELECT count(*) FROM payload WHERE state = 'parked'),
       (SELECT count(*) FROM dirty),
       (SELECT count(*) FROM work_item WHERE closed_at IS NULL),
       (SELECT count(*) FROM sku),
       (SELECT count(*) FROM location),
       (SELECT count(*) FROM channel);

-- name: parked_by_system
-- Parked payloads, counted by system.
SELECT system, count(*) FROM payload WHERE state = 'parked' GROUP BY system;

-- name: work_by_kind
-- Open work items, counted by kind.
SELECT kind, count(*) FROM work_item WHERE closed_at IS NULL GROUP BY kind;

-- name: backlog_by_channel
-- Levels a channel has not acknowledged, and the seconds the oldest has waited, by channel; those that
-- are only sent again left out.
SELECT channel.code, count(level.channel),
       coalesce(extract(epoch FROM clock_timestamp() - min(level.waiting_since)), 0)::float8
FROM channel LEFT JOIN level ON level.channel = channel.code AND level.state IN ('due', 'sending')
     AND (level.acknowledged IS NULL OR NOT (level.resend AND level.acknowledged = level.desired))
GROUP BY channel.code;

-- name: marks
-- Marks that the projection has not consumed.
SELECT count(*) FROM dirty;
