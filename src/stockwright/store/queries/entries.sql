-- The ledger of one SKU.

-- name: page
-- Entries of a SKU with their events, newest first, below a position (sequence, n).
SELECT entry.sequence, entry.n, event.kind, event.system, event.outcome,
       event.body ->> 'document', event.body ->> 'line',
       entry.lot, entry.from_account, entry.from_location, entry.to_account, entry.to_location,
       entry.quantity, entry.transfer, entry.free_after,
       event.occurred_at, event.received_at, event.recorded_at, event.payload
FROM entry JOIN event ON event.sequence = entry.sequence
WHERE entry.sku = %(sku)s AND (entry.sequence, entry.n) < (%(sequence)s, %(n)s)
ORDER BY entry.sequence DESC, entry.n DESC LIMIT %(limit)s;
