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
  AND (%(location)s = '' OR location = %(location)s)
  AND (%(system)s = '' OR system = %(system)s)
  AND (%(assigned_to)s = '' OR assigned_to = %(assigned_to)s)
  AND NOT (%(unassigned)s AND assigned_to <> '')
  AND (%(text)s = ''
       OR strpos(lower(subject || ' ' || detail::text), lower(%(text)s)) > 0)
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

-- name: facets
-- How many work items pass a filter: in all, and by the values of what it may ask for.
WITH found AS (
    SELECT kind, system, location, assigned_to FROM work_item
    WHERE true
      AND (%(state)s = 'all' OR (closed_at IS NULL) = (%(state)s = 'open'))
      AND (%(kind)s = '' OR kind = %(kind)s)
      AND (%(sku)s = '' OR sku = %(sku)s)
      AND (%(location)s = '' OR location = %(location)s)
      AND (%(system)s = '' OR system = %(system)s)
      AND (%(assigned_to)s = '' OR assigned_to = %(assigned_to)s)
      AND NOT (%(unassigned)s AND assigned_to <> '')
      AND (%(text)s = ''
           OR strpos(lower(subject || ' ' || detail::text), lower(%(text)s)) > 0)
)
SELECT '' AS facet, '' AS value, count(*) FROM found
UNION ALL SELECT 'kind', kind, count(*) FROM found GROUP BY kind
UNION ALL SELECT 'system', system, count(*) FROM found GROUP BY system
UNION ALL SELECT 'location', location, count(*) FROM found GROUP BY location
UNION ALL SELECT 'assigned_to', assigned_to, count(*) FROM found GROUP BY assigned_to
ORDER BY 1, 3 DESC, 2;

-- name: assign
-- Gives an open work item to somebody, or to nobody; answers one row where it was open.
UPDATE work_item SET assigned_to = %(assigned_to)s WHERE id = %(id)s AND closed_at IS NULL RETURNING id;

-- name: reopen
-- Opens a closed work item again; answers one row where it was closed. Breaks the unique index of open
-- items where its cause came up again meanwhile.
UPDATE work_item SET closed_at = NULL, closed_by = '', closed_why = ''
WHERE id = %(id)s AND closed_at IS NOT NULL RETURNING id;
