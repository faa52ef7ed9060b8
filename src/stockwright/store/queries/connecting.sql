-- Connecting a partner step by step: stages, steps, the partner's items and numbers, the shadow.

-- name: stages
-- The stage of every connection by steps, or of this one: (system, stage, since, actor, why, forced).
select system, stage, since, actor, why, forced from connecting
where %(system)s in ('', system) order by system;

-- name: set_stage
-- Brings a connection to a stage.
insert into connecting (system, stage, actor, why, forced)
values (%(system)s, %(stage)s, %(actor)s, %(why)s, %(forced)s)
on conflict (system) do update
set stage = excluded.stage, since = clock_timestamp(), actor = excluded.actor, why = excluded.why,
    forced = excluded.forced;

-- name: steps
-- The steps of every connection, or of this one: (system, step, state, at, actor, note, settings, detail).
select system, step, state, at, actor, note, settings, detail from connecting_step
where %(system)s in ('', system);

-- name: write_step
-- The outcome of a step, in place of the one before.
insert into connecting_step (system, step, state, actor, note, settings, detail)
values (%(system)s, %(step)s, %(state)s, %(actor)s, %(note)s, %(settings)s, %(detail)s)
on conflict (system, step) do update
set state = excluded.state, at = clock_timestamp(), actor = excluded.actor, note = excluded.note,
    settings = excluded.settings, detail = excluded.detail;

-- name: forget_steps
-- Forgets the steps of a system.
delete from connecting_step where system = %(system)s;

-- name: lock_system
-- Holds a system against others who connect it, until the end of the transaction.
select 1 from system where code = %(system)s for no key update;

-- name: workers_at
-- When a worker last looked at each connection, or asked it: (system, time).
select system.code, greatest(state.heartbeat, poll.last_success_at, poll.last_error_at)
from system
left join connection_state state on state.system = system.code
left join poll_cursor poll on poll.connection = system.code
where %(system)s in ('', system.code);

-- name: known_items
-- What the item master says of a system's codes: (code, SKU it is bound to, unit of the binding, base
-- unit, base units by unit, its listings on the system's channels, whether one of our SKUs has the code).
select asked.code, coalesce(bound.code, ''), coalesce(bound.unit, ''), coalesce(sku.base_unit, ''),
       case when sku.code is null then '{}' else (
           select jsonb_build_object(sku.base_unit, 1) || coalesce(jsonb_object_agg(unit.code, unit.factor), '{}')
           from unit where unit.sku = sku.code
       ) end,
       coalesce((
           select jsonb_agg(jsonb_build_object('channel', listing.channel, 'active', listing.active, 'parts', (
               select coalesce(jsonb_object_agg(part.sku, part.quantity), '{}') from listing_component part
               where part.channel = listing.channel and part.listing = listing.code
           )) order by listing.channel)
           from listing
           where listing.code = asked.code
             and listing.channel in (select channel.code from channel where channel.system = %(system)s)
       ), '[]'),
       exists (select from sku where sku.code = asked.code)
from unnest(%(codes)s::text[]) as asked (code)
left join binding bound on bound.system = %(system)s and bound.subject = 'item'
                       and bound.partner_code = asked.code
left join sku on sku.code = bound.code;

-- name: clear_items
-- Forgets the items that a partner was seen to name.
delete from partner_item where system = %(system)s;

-- name: write_items
-- Keeps the items that a partner was seen to name.
insert into partner_item (system, code, state, sku, unit, why, seen)
select %(system)s, * from unnest(%(codes)s::text[], %(states)s::text[], %(skus)s::text[], %(units)s::text[],
                                 %(whys)s::text[], %(seen)s::text[])
on conflict do nothing;

-- name: items
-- A partner's items after a place, conflicts first, then unknown ones, each by code: (code, state, SKU,
-- unit, why, units it was seen in, one a line).
select code, state, sku, unit, why, seen
from partner_item
where system = %(system)s and %(state)s in ('', state)
  and (array_position(array['unit_conflict', 'unknown', 'matched'], state), code)
      > (%(after_state)s, %(after_code)s collate "C")
order by array_position(array['unit_conflict', 'unknown', 'matched'], state), code
limit %(limit)s;

-- name: item_counts
-- How many of the items of every system, or of this one, stand how: (system, state, items).
select system, state, count(*) from partner_item
where %(system)s in ('', system) group by system, state;

-- name: clear_shown
-- Forgets what a partner said it shows.
delete from partner_shown where system = %(system)s;

-- name: write_shown
-- Keeps what a partner said it shows; of one cell told twice the later.
insert into partner_shown (system, code, location, lot, unit, quantity, as_of)
select distinct on (code, location, lot) %(system)s, code, location, lot, unit, quantity, as_of
from unnest(%(codes)s::text[], %(locations)s::text[], %(lots)s::text[], %(units)s::text[],
            %(quantities)s::bigint[], %(as_of)s::timestamptz[])
     with ordinality as told (code, location, lot, unit, quantity, as_of, n)
order by code, location, lot, n desc
on conflict (system, code, location, lot) do update
set unit = excluded.unit, quantity = excluded.quantity, as_of = excluded.as_of;

-- name: stock_lines
-- What a partner said it holds of items that are matched: (code, location in its words, ours or '',
-- lot, unit, quantity, as of, feed of the location, who holds the authority for counts there now).
select shown.code, shown.location, coalesce(place.code, own.code, ''), shown.lot, shown.unit, shown.quantity,
       shown.as_of, coalesce(location.feed, ''),
       coalesce((select authority.system from authority
                 where authority.location = coalesce(place.code, own.code)
                   and authority.movement_group = 'count' and authority.valid_from <= shown.as_of
                 order by authority.valid_from desc limit 1), '')
from partner_shown shown
join partner_item item on item.system = shown.system and item.code = shown.code and item.state = 'matched'
left join binding place on place.system = shown.system and place.subject = 'location'
                       and place.partner_code = shown.location
left join location own on own.code = shown.location
left join location on location.code = coalesce(place.code, own.code)
where shown.system = %(system)s
order by shown.code, shown.location, shown.lot;

-- name: shown_total
-- What a partner said it shows: (numbers, the newest time of them).
select count(*), max(as_of) from partner_shown where system = %(system)s;

-- name: shadow_channels
-- The channels of connections in shadow.
select channel.code from channel join connecting on connecting.system = channel.system
where connecting.stage = 'shadow' order by channel.code;

-- name: note_shadow
-- Writes down what would be sent now to channels of connections in shadow, at most %(limit)s levels of it
-- that are not written down yet; answers their channels.
with due as (
    select level.channel, level.listing, level.location, level.version, level.desired
    from level
    left join shadow_level noted on noted.channel = level.channel and noted.listing = level.listing
                                and noted.location = level.location
    where level.channel = any (%(channels)s::text[])
      and level.state = 'due' and level.due_at <= clock_timestamp()
      and (noted.version is null or noted.version < level.version)
    order by level.channel, level.listing, level.location
    limit %(limit)s
)
insert into shadow_level (channel, listing, location, version, desired)
select channel, listing, location, version, desired from due
on conflict (channel, listing, location) do update
set version = excluded.version, desired = excluded.desired, noted_at = clock_timestamp(),
    times = shadow_level.times + 1
where shadow_level.version < excluded.version
returning channel;

-- name: clear_shadow
-- Forgets what would have been sent to a connection.
delete from shadow_level using channel
where channel.code = shadow_level.channel and channel.system = %(system)s;

-- name: shadow
-- What would have been sent to a connection and what its partner shows, the largest difference first:
-- (channel, listing, location, desired, what the partner shows or null, as of, written down first, last,
-- how many numbers). With %(differing)s only what differs, or is not shown.
select shadow_level.channel, shadow_level.listing, shadow_level.location, shadow_level.desired,
       shown.quantity, shown.as_of, shadow_level.first_at, shadow_level.noted_at, shadow_level.times
from shadow_level
join channel on channel.code = shadow_level.channel
left join partner_shown shown on shown.system = channel.system and shown.code = shadow_level.listing
                             and shown.location = shadow_level.location and shown.lot = ''
where channel.system = %(system)s
  and (not %(differing)s or shown.quantity is distinct from shadow_level.desired)
order by shown.quantity is not null, abs(shown.quantity - shadow_level.desired) desc,
         shadow_level.channel, shadow_level.listing, shadow_level.location
limit %(limit)s;

-- name: shadow_counts
-- What would have been sent to connections in all: (system, levels, of these zero, that differ from what the
-- partner shows, that it does not show, levels whose number changed meanwhile).
select channel.system, count(*), count(*) filter (where shadow_level.desired = 0),
       count(*) filter (where shown.quantity <> shadow_level.desired),
       count(*) filter (where shown.quantity is null),
       count(*) filter (where shadow_level.times > 1)
from shadow_level
join channel on channel.code = shadow_level.channel
left join partner_shown shown on shown.system = channel.system and shown.code = shadow_level.listing
                             and shown.location = shadow_level.location and shown.lot = ''
where %(system)s in ('', channel.system)
group by channel.system;

-- name: shadow_keys
-- Levels written down for a connection, those longest unlooked at first: (listing, location).
select shadow_level.listing, shadow_level.location
from shadow_level
join channel on channel.code = shadow_level.channel
left join partner_shown shown on shown.system = channel.system and shown.code = shadow_level.listing
                             and shown.location = shadow_level.location and shown.lot = ''
where channel.system = %(system)s
order by shown.as_of nulls first, shadow_level.listing, shadow_level.location
limit %(limit)s;

-- name: active_listings
-- How many listings of a system's channels are on sale.
select count(*) from listing join channel on channel.code = listing.channel
where channel.system = %(system)s and listing.active;

-- name: any_listings
-- A few listings of a system's channels, for a question that proves the credentials.
select listing.code from listing join channel on channel.code = listing.channel
where channel.system = %(system)s order by listing.active desc, listing.code limit %(limit)s;

-- name: close_of_others
-- Closes the items about connections that are configured no more.
update work_item
set closed_at = clock_timestamp(), closed_by = 'connections', closed_why = 'it is configured no more'
where kind = any (%(kinds)s::text[]) and not system = any (%(systems)s::text[]) and closed_at is null;

-- name: close_not_opened
-- Closes the items about connections that could not be opened.
update work_item
set closed_at = clock_timestamp(), closed_by = 'connections', closed_why = 'it runs as it is configured'
where kind = 'connection_not_opened' and subject = any (%(systems)s::text[]) and closed_at is null;
