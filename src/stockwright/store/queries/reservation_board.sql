-- Reservations as the console shows them: demand lines, newest first, looked for in a window of ids
-- so that a rare state costs no more than a common one.

-- name: rows
-- Demand lines in a window below an id with these values ('' is any), newest first, with the units
-- each still holds, reserved, allocated or picked.
select d.id, d.system, d.order_ref, d.line, d.sku, d.channel, d.state, d.ordered, d.shipped,
       d.cancelled, d.returned, d.expires_at,
       (select coalesce(sum(c.reserved + c.allocated + c.picked), 0)::bigint from claim c
        where c.line_id = d.id)
from (select * from demand_line where id < %(before)s order by id desc limit %(window)s) d
where (%(state)s = '' or d.state = %(state)s)
  and (%(channel)s = '' or d.channel = %(channel)s)
  and (%(system)s = '' or d.system = %(system)s)
order by d.id desc
limit %(limit)s;

-- name: rows_of_sku
-- The demand lines that hold units of one SKU, with these values ('' is any), newest first.
select d.id, d.system, d.order_ref, d.line, d.sku, d.channel, d.state, d.ordered, d.shipped,
       d.cancelled, d.returned, d.expires_at, held.units
from (select line_id, sum(reserved + allocated + picked)::bigint as units
      from claim where sku = %(sku)s and reserved + allocated + picked > 0
      group by line_id) held
join demand_line d on d.id = held.line_id
where d.id < %(before)s
  and (%(state)s = '' or d.state = %(state)s)
  and (%(channel)s = '' or d.channel = %(channel)s)
  and (%(system)s = '' or d.system = %(system)s)
order by d.id desc
limit %(limit)s;

-- name: bottom
-- The lowest id of the window below an id; null where there is nothing.
select min(id) from (
    select id from demand_line where id < %(before)s order by id desc limit %(window)s) seen;

-- name: cube
-- In the newest window, how many lines share state, channel and system.
select state, channel, system, count(*)
from (select state, channel, system from demand_line order by id desc limit %(window)s) newest
group by 1, 2, 3;

-- name: cube_of_sku
-- Among the lines that hold units of a SKU, how many share state, channel and system.
select d.state, d.channel, d.system, count(*)
from (select distinct line_id from claim
      where sku = %(sku)s and reserved + allocated + picked > 0) held
join demand_line d on d.id = held.line_id
group by 1, 2, 3;

-- name: of_ids
-- These demand lines, newest first.
select d.id, d.system, d.order_ref, d.line, d.sku, d.channel, d.state, d.ordered, d.shipped,
       d.cancelled, d.returned, d.expires_at,
       (select coalesce(sum(c.reserved + c.allocated + c.picked), 0)::bigint from claim c
        where c.line_id = d.id)
from demand_line d where d.id = any(%(ids)s::bigint[]) order by d.id desc;

-- name: of_order
-- The demand lines of one order, by line.
select d.id, d.system, d.order_ref, d.line, d.sku, d.channel, d.state, d.ordered, d.shipped,
       d.cancelled, d.returned, d.expires_at,
       (select coalesce(sum(c.reserved + c.allocated + c.picked), 0)::bigint from claim c
        where c.line_id = d.id)
from demand_line d where d.system = %(system)s and d.order_ref = %(order)s order by d.line
limit 1000;

-- name: transitions
-- What the lines of an order went through, newest first: line, state, and the event that did it.
select d.line, t.n, t.state, t.sequence, e.kind, e.system, coalesce(e.body ->> 'document', ''),
       e.recorded_at
from demand_line d
join transition t on t.line_id = d.id
join event e on e.sequence = t.sequence
where d.system = %(system)s and d.order_ref = %(order)s
order by t.sequence desc, d.line
limit 500;

-- name: mark
-- Changes whenever the newest lines may have.
select max(id), sum(version), count(*)
from (select id, version from demand_line order by id desc limit 500) newest;
