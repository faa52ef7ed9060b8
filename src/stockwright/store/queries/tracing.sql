-- name: sequences_of_document
-- Sequence numbers of what these systems told under a document, oldest first. Each system is one
-- range of the key's index; a plain join of ranges reads the whole table once it is large.
select told.sequence
from unnest(%(systems)s::text[]) as asked (system)
cross join lateral (
    select identity.sequence from identity
    where identity.key >= replace(asked.system, '|', '||') || '|' || %(document)s || '|'
      and identity.key < replace(asked.system, '|', '||') || '|' || %(document)s || '}'
      and identity.sequence > 0
    order by identity.key
    limit 200 * %(limit)s
) told
group by told.sequence
order by told.sequence
limit %(limit)s;

-- name: sequences_of_order
-- Sequence numbers of what changed the demand lines of an order of these systems, oldest first.
select transition.sequence
from demand_line line
join transition on transition.line_id = line.id
where line.system = any (%(systems)s::text[]) and line.order_ref = %(order)s
group by transition.sequence
order by transition.sequence
limit %(limit)s;

-- name: systems
-- Every system that is configured or has told anything: one step of an index for each.
with recursive telling (code) as (
    (select substring(key from '^((?:[^|]|\|\|)*)\|') from identity order by key limit 1)
    union all
    select (select substring(key from '^((?:[^|]|\|\|)*)\|') from identity
            where key >= telling.code || '}' order by key limit 1)
    from telling where telling.code is not null
), ordering (code) as (
    select min(system) from demand_line
    union all
    select (select min(system) from demand_line where system > ordering.code)
    from ordering where ordering.code is not null
)
select code from system
union select replace(code, '||', '|') from telling where code is not null
union select code from ordering where code is not null
order by 1;

-- name: events
-- These events with the SKUs they moved, oldest first; an event that moved nothing has no SKU.
select event.sequence, event.kind, event.system, coalesce(event.body ->> 'document', ''),
       coalesce(event.body ->> 'order', ''), event.outcome, event.payload, event.occurred_at,
       event.received_at, event.recorded_at,
       array(select distinct entry.sku from entry where entry.sequence = event.sequence order by 1)
from event
where event.sequence = any (%(sequences)s::bigint[])
order by event.sequence;

-- name: way_to_channels
-- What one event did to each level that its SKUs are part of, by key: the level, the change that
-- first reflects the event, the first call that carried that change or a later one, and the first
-- such call that was acknowledged. Columns of a step that was not reached are null.
select level.channel, level.listing, level.location, level.sequence, level.state, level.last_error,
       changed.version, changed.value, changed.projected_at,
       sent.version, sent.value, sent.started_at,
       acknowledged.version, acknowledged.value, acknowledged.finished_at
from level
left join lateral (
    select version, value, projected_at, since_sequence
    from level_change
    where channel = level.channel and listing = level.listing and location = level.location
      and sequence >= %(sequence)s
    order by sequence, version
    limit 1
) changed on changed.since_sequence < %(sequence)s
left join lateral (
    select version, value, started_at
    from attempt
    where channel = level.channel and listing = level.listing and location = level.location
      and version >= changed.version
    order by version, call
    limit 1
) sent on true
left join lateral (
    select version, value, finished_at
    from attempt
    where channel = level.channel and listing = level.listing and location = level.location
      and version >= changed.version and outcome = 'acknowledged'
    order by version, call
    limit 1
) acknowledged on true
where (level.channel, level.listing) in (
    select channel, listing from listing_component where sku = any (%(skus)s::text[])
)
order by level.channel, level.listing, level.location;
