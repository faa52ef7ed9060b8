-- What became of a reservation.

-- name: lines
-- The demand lines of one order of one system, by line.
SELECT line, sku, channel, state, ordered, shipped, cancelled, cancel_requested, returned, expires_at
FROM demand_line WHERE system = %(system)s AND order_ref = %(order)s ORDER BY line;

-- name: claims
-- The places where units are promised to the lines of one order.
SELECT demand_line.line, claim.location, claim.lot, claim.reserved, claim.allocated, claim.picked
FROM demand_line JOIN claim ON claim.line_id = demand_line.id
WHERE demand_line.system = %(system)s AND demand_line.order_ref = %(order)s
  AND claim.reserved + claim.allocated + claim.picked > 0
ORDER BY demand_line.line, claim.location, claim.lot;
