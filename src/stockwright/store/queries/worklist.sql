-- What a person must decide.

-- name: page
-- Work items below an id, newest first; open, closed or all, of one kind or SKU where named.
SELECT id, kind, subject, sku, location, system, detail, sequence, opened_at, seen, last_seen_at,
       closed_at, closed_by, closed_why, assigned_to
FROM work_item
WHERE id < %(before)s
  AND (%(state)s = 'all' OR (closed_at IS NULL) = (%(state)s = 'open'))
  AND (%(kind)s = '' OR kind = %(kind)s)
  AND (%(sku)s = '' OR sku = %(sku)s)
ORDER BY id DESC LIMIT %(limit)s;

-- name: one
-- One work item.
SELECT id, kind, subject, sku, location, system, detail, sequence, opened_at, seen, last_seen_at,
       closed_at, closed_by, closed_why, assigned_to
FROM work_item WHERE id = %(id)s;

-- name: close
-- Closes an open work item; answers one row where it was open.
UPDATE work_item SET closed_at = clock_timestamp(), closed_by = %(actor)s, closed_why = %(why)s
WHERE id = %(id)s AND closed_at IS NULL RETURNING id;
