-- name: locations
-- All locations.
select code, feed, time_zone, priority from location;

-- name: groups
-- Members of location groups.
select code, location from location_group;

-- name: channels
-- All channels with their pools as configured: locations or groups.
select code, system, pool, allow_split, hold_s, demand_class from channel;

-- name: policies
-- Exposure policies in order.
select channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap, pack_size,
       safety_per, min_shelf_life_days, ring_fence_mode, buffer_percent, buffer_risk, buffer_most,
       buffer_most_percent, blind_s, degraded_cap
from exposure_policy order by channel, position;

-- name: systems
-- How each system's statements are read.
select code, clock_error_s::float8, snapshot_basis, revisions from system;

-- name: authorities
-- Who may record which movements, by start.
select location, movement_group, valid_from, system from authority order by valid_from;

-- name: skus
-- These SKUs with their units of measure.
select s.code, s.sku_group, s.base_unit, s.control,
       coalesce(jsonb_object_agg(u.code, u.factor) filter (where u.code is not null), '{}')
from unnest(%s::text[]) k (code) join sku s on s.code = k.code left join unit u on u.sku = s.code
group by s.code;

-- name: bindings
-- What these partner codes stand for. The codes drive the search, whatever the statistics say.
select b.system, b.partner_code, b.code, b.unit
from unnest(%s::text[], %s::text[]) k (system, code)
cross join lateral (
    select * from binding
    where system = k.system and subject = 'item' and partner_code = k.code offset 0
) b;

-- name: location_bindings
-- What partner codes of locations stand for.
select system, partner_code, code from binding where subject = 'location';

-- name: owed_skus
-- SKUs of which order lines may be owed units.
select sku from owed_sku;

-- name: degraded
-- Systems that are silent now, and how that is known.
select system, reason from degraded;
