-- What a configuration declares: systems, locations, authorities, channels, exposure policies.

-- name: write_systems
-- Writes systems that are new or differ; their codes.
insert into system (code, role, owner, latency_budget_s, criticality, clock_error_s, time_zone,
    snapshot_basis, revisions, connector, settings, heartbeat_s)
select code, role, owner, latency_budget_s, criticality, clock_error_s, time_zone,
    snapshot_basis, revisions, connector, settings, heartbeat_s
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    code text, role text, owner text, latency_budget_s numeric, criticality text,
    clock_error_s numeric, time_zone text, snapshot_basis text, revisions text, connector text,
    settings jsonb, heartbeat_s numeric)
on conflict (code) do update set
    role = excluded.role, owner = excluded.owner, latency_budget_s = excluded.latency_budget_s,
    criticality = excluded.criticality, clock_error_s = excluded.clock_error_s,
    time_zone = excluded.time_zone, snapshot_basis = excluded.snapshot_basis,
    revisions = excluded.revisions, connector = excluded.connector, settings = excluded.settings,
    heartbeat_s = excluded.heartbeat_s
where (system.role, system.owner, system.latency_budget_s, system.criticality,
       system.clock_error_s, system.time_zone, system.snapshot_basis, system.revisions,
       system.connector, system.settings, system.heartbeat_s)
    is distinct from
      (excluded.role, excluded.owner, excluded.latency_budget_s, excluded.criticality,
       excluded.clock_error_s, excluded.time_zone, excluded.snapshot_basis, excluded.revisions,
       excluded.connector, excluded.settings, excluded.heartbeat_s)
returning code

-- name: told_channels
-- The channels whose systems have a connector: they are told of their levels.
select channel.code from channel join system on system.code = channel.system where system.connector <> ''

-- name: partners
-- Who speaks for each channel: (channel, system, connector).
select channel.code, system.code, system.connector
from channel join system on system.code = channel.system

-- name: declare_gross
-- Notes which systems' connectors take gross numbers; the channels where that changed.
with changed as (
    update system set levels_are = declared.levels_are
    from (select code, case when connector = any(%(connectors)s::text[]) then 'gross' else 'net' end
          from system) declared (code, levels_are)
    where system.code = declared.code and system.levels_are <> declared.levels_are
    returning system.code
)
select channel.code from channel join changed on changed.code = channel.system order by channel.code

-- name: disconnect_systems
-- Takes the connector from systems that are no longer declared; their codes. History keeps the rows.
update system set connector = ''
where connector <> '' and code <> all(%(declared)s::text[])
returning code

-- name: remove_authorities
-- Takes away what these locations no longer declare; the locations.
delete from authority
where location = any(%(locations)s::text[])
    and not exists (
        select from jsonb_to_recordset(%(rows)s::jsonb) as given (
            location text, "group" text, "from" timestamptz)
        where given.location = authority.location and given."group" = authority.movement_group
            and given."from" = authority.valid_from)
returning location

-- name: write_authorities
-- Writes authorities that are new or differ; their locations.
insert into authority (location, movement_group, valid_from, system)
select location, "group", "from", system
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    location text, "group" text, "from" timestamptz, system text)
on conflict (location, movement_group, valid_from) do update set system = excluded.system
where authority.system <> excluded.system
returning location

-- name: write_channels
-- Writes channels that are new or differ; their codes.
insert into channel (code, system, pool, demand_class, allow_split, hold_s)
select code, system, array(select jsonb_array_elements_text(pool)), demand_class, allow_split, hold_s
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    code text, system text, pool jsonb, demand_class integer, allow_split boolean, hold_s integer)
on conflict (code) do update set
    system = excluded.system, pool = excluded.pool, demand_class = excluded.demand_class,
    allow_split = excluded.allow_split, hold_s = excluded.hold_s
where (channel.system, channel.pool, channel.demand_class, channel.allow_split, channel.hold_s)
    is distinct from
      (excluded.system, excluded.pool, excluded.demand_class, excluded.allow_split,
       excluded.hold_s)
returning code

-- name: remove_policies
-- Takes away the policies that these channels no longer have; the channels.
delete from exposure_policy
where channel = any(%(channels)s::text[])
    and not exists (
        select from jsonb_to_recordset(%(rows)s::jsonb) as given (channel text, position integer)
        where given.channel = exposure_policy.channel
            and given.position = exposure_policy.position)
returning channel

-- name: write_policies
-- Writes policies that are new or differ; their channels.
insert into exposure_policy (channel, position, sku, sku_group, safety, hard_safety, ring_fence,
    buffer, cap, pack_size, safety_per, min_shelf_life_days, ring_fence_mode, buffer_percent,
    buffer_risk, buffer_most, buffer_most_percent, blind_s, degraded_cap)
select channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap, pack_size,
    safety_per, min_shelf_life_days, ring_fence_mode, buffer_percent, buffer_risk, buffer_most,
    buffer_most_percent, blind_s, degraded_cap
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    channel text, position integer, sku text, sku_group text, safety bigint, hard_safety bigint,
    ring_fence bigint, buffer bigint, cap bigint, pack_size bigint, safety_per text,
    min_shelf_life_days integer, ring_fence_mode text, buffer_percent double precision,
    buffer_risk double precision, buffer_most bigint, buffer_most_percent double precision,
    blind_s double precision, degraded_cap bigint)
on conflict (channel, position) do update set
    sku = excluded.sku, sku_group = excluded.sku_group, safety = excluded.safety,
    hard_safety = excluded.hard_safety, ring_fence = excluded.ring_fence,
    buffer = excluded.buffer, cap = excluded.cap, pack_size = excluded.pack_size,
    safety_per = excluded.safety_per, min_shelf_life_days = excluded.min_shelf_life_days,
    ring_fence_mode = excluded.ring_fence_mode, buffer_percent = excluded.buffer_percent,
    buffer_risk = excluded.buffer_risk, buffer_most = excluded.buffer_most,
    buffer_most_percent = excluded.buffer_most_percent, blind_s = excluded.blind_s,
    degraded_cap = excluded.degraded_cap
where (exposure_policy.sku, exposure_policy.sku_group, exposure_policy.safety,
       exposure_policy.hard_safety, exposure_policy.ring_fence, exposure_policy.buffer,
       exposure_policy.cap, exposure_policy.pack_size, exposure_policy.safety_per,
       exposure_policy.min_shelf_life_days, exposure_policy.ring_fence_mode,
       exposure_policy.buffer_percent, exposure_policy.buffer_risk, exposure_policy.buffer_most,
       exposure_policy.buffer_most_percent, exposure_policy.blind_s, exposure_policy.degraded_cap)
    is distinct from
      (excluded.sku, excluded.sku_group, excluded.safety, excluded.hard_safety,
       excluded.ring_fence, excluded.buffer, excluded.cap, excluded.pack_size,
        excluded.safety_per, excluded.min_shelf_life_days, excluded.ring_fence_mode,
        excluded.buffer_percent, excluded.buffer_risk, excluded.buffer_most,
        excluded.buffer_most_percent, excluded.blind_s, excluded.degraded_cap)
returning channel

-- name: network
-- The whole network as one document: systems, locations and channels, each by code, in the shape of
-- domain/network.py.
select jsonb_build_object(
    'systems', (select coalesce(jsonb_agg(to_jsonb(system) order by code), '[]') from system),
    'locations', (
        select coalesce(jsonb_agg(to_jsonb(location) || jsonb_build_object(
            'groups', (select coalesce(jsonb_agg(member.code order by member.code), '[]')
                       from location_group member where member.location = location.code),
            'authority', (select coalesce(jsonb_agg(jsonb_build_object(
                              'group', movement_group, 'system', authority.system, 'from', valid_from)
                              order by movement_group, valid_from), '[]')
                          from authority where authority.location = location.code)
        ) order by code), '[]') from location),
    'channels', (
        select coalesce(jsonb_agg(to_jsonb(channel) || jsonb_build_object(
            'policies', (select coalesce(jsonb_agg(to_jsonb(policy) order by policy.position), '[]')
                         from exposure_policy policy where policy.channel = channel.code)
        ) order by code), '[]') from channel))

-- name: edited_last
-- The newest revision that touched a part of the network: its id.
select max(id) from (
    select greatest(max(since), max(until)) as id from history.system
    where %(family)s = 'systems' and code = %(code)s
    union all
    select greatest(max(since), max(until)) from history.location
    where %(family)s = 'locations' and code = %(code)s
    union all
    select greatest(max(since), max(until)) from history.location_group
    where %(family)s = 'locations' and location = %(code)s
    union all
    select greatest(max(since), max(until)) from history.authority
    where %(family)s = 'locations' and location = %(code)s
    union all
    select greatest(max(since), max(until)) from history.channel
    where %(family)s = 'channels' and code = %(code)s
    union all
    select greatest(max(since), max(until)) from history.exposure_policy
    where %(family)s = 'channels' and channel = %(code)s
) touched

-- name: location_codes
-- All locations.
select code from location order by code
