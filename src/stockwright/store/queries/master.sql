-- The item master and the network of partners.
-- Rows come in as one jsonb array and go out in the order of the structs in domain/items.py and
-- domain/network.py.

-- name: fix_snapshot
-- What this transaction reads is of one moment.
set transaction isolation level repeatable read, read only

-- name: lock_master
-- Nobody else changes master data until this transaction ends.
select pg_advisory_xact_lock(%(lock)s)

-- name: raise_revision
-- The new revision; processes that keep a copy of master data learn of it at commit.
with raised as (update master_revision set revision = revision + 1 returning revision)
select revision, pg_notify('stockwright_master', revision::text) from raised

-- name: revision
-- The revision of the master data.
select revision from master_revision

-- name: mark_skus
-- Levels of these SKUs must be computed again.
insert into dirty (sku, sequence) select distinct sku, 0 from unnest(%(skus)s::text[]) as given (sku)

-- name: mark_pools
-- Levels of all SKUs sold from one of these locations or groups must be computed again.
insert into dirty (sku, sequence)
select distinct listing_component.sku, 0
from channel join listing_component on listing_component.channel = channel.code
where channel.pool && %(members)s::text[]

-- name: mark_channels
-- Levels of all SKUs sold through one of these channels must be computed again.
insert into dirty (sku, sequence)
select distinct sku, 0 from listing_component where channel = any(%(channels)s::text[])

-- name: read_skus
-- The SKUs with these codes.
select code, description, sku_group, unit_cost, currency, base_unit, control, active
from sku where code = any(%(k0)s::text[])

-- name: write_skus
-- SKUs as given, new or not.
insert into sku (code, description, sku_group, unit_cost, currency, base_unit, control, active)
select code, description, sku_group, unit_cost, currency, base_unit, control, active
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    code text, description text, sku_group text, unit_cost numeric, currency text,
    base_unit text, control text, active boolean)
on conflict (code) do update set
    description = excluded.description, sku_group = excluded.sku_group,
    unit_cost = excluded.unit_cost, currency = excluded.currency,
    base_unit = excluded.base_unit, control = excluded.control, active = excluded.active

-- name: page_skus
-- SKUs after a code, by code; of one group where it is given.
select code, description, sku_group, unit_cost, currency, base_unit, control, active
from sku
where code > %(after)s and (%(sku_group)s::text is null or sku_group = %(sku_group)s)
order by code limit %(limit)s

-- name: skus_with_stock
-- Which of these SKUs are counted in their base unit somewhere, on shelves, awaited or owed: it is fixed, and
-- so is their lot control.
select sku from balance where sku = any(%(skus)s::text[])
union select sku from supply where sku = any(%(skus)s::text[]) and closed_at is null
union select sku from backorder where sku = any(%(skus)s::text[]) and owed > 0

-- name: read_units
-- The units of measure with these keys.
select unit.sku, unit.code, unit.factor
from unnest(%(k0)s::text[], %(k1)s::text[]) as key (sku, code)
join unit on unit.sku = key.sku and unit.code = key.code

-- name: write_units
-- Units of measure as given, new or not.
insert into unit (sku, code, factor)
select sku, code, factor
from jsonb_to_recordset(%(rows)s::jsonb) as given (sku text, code text, factor bigint)
on conflict (sku, code) do update set factor = excluded.factor

-- name: page_units
-- Units of measure after (SKU, code), by both; of one SKU where it is given.
select sku, code, factor from unit
where (sku, code) > (%(after0)s, %(after1)s) and (%(sku)s::text is null or sku = %(sku)s)
order by sku, code limit %(limit)s

-- name: read_bindings
-- The bindings with these keys.
select binding.system, binding.partner_code, binding.code, binding.subject, binding.unit
from unnest(%(k0)s::text[], %(k1)s::text[], %(k2)s::text[]) as key (system, subject, partner_code)
join binding on binding.system = key.system and binding.subject = key.subject
    and binding.partner_code = key.partner_code

-- name: write_bindings
-- Bindings as given, new or not.
insert into binding (system, subject, partner_code, code, unit)
select system, subject, partner_code, code, unit
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    system text, subject text, partner_code text, code text, unit text)
on conflict (system, subject, partner_code) do update set
    code = excluded.code, unit = excluded.unit

-- name: page_bindings
-- Bindings after (system, subject, partner code), by all three; of one system, or of one code.
select system, partner_code, code, subject, unit from binding
where (system, subject, partner_code) > (%(after0)s, %(after1)s, %(after2)s)
    and (%(system)s::text is null or system = %(system)s)
    and (%(code)s::text is null or code = %(code)s)
order by system, subject, partner_code limit %(limit)s

-- name: remove_binding
-- Unties a partner's code; the code it was tied to.
delete from binding
where system = %(system)s and subject = %(subject)s and partner_code = %(partner_code)s
returning code

-- name: read_kits
-- The kits with these SKUs, each with its components by code.
select sku, array_agg(component order by component), array_agg(quantity order by component)
from kit where sku = any(%(k0)s::text[]) group by sku

-- name: clear_kits
-- Takes the components of these kits away, to be written anew.
delete from kit where sku = any(%(k0)s::text[])

-- name: write_kits
-- Components of kits that have none.
insert into kit (sku, component, quantity)
select given.sku, line.sku, line.quantity
from jsonb_to_recordset(%(rows)s::jsonb) as given (sku text, components jsonb),
    jsonb_to_recordset(given.components) as line (sku text, quantity bigint)

-- name: page_kits
-- Kits after a SKU, by SKU.
select sku, array_agg(component order by component), array_agg(quantity order by component)
from kit where sku > %(after)s group by sku order by sku limit %(limit)s

-- name: kits_below
-- Each kit found on the way down from these SKUs, with its components.
with recursive below (sku) as (
    select distinct sku collate "C" from unnest(%(skus)s::text[]) as start (sku)
    union
    select kit.component from below join kit on kit.sku = below.sku
)
select kit.sku, array_agg(kit.component) from below join kit on kit.sku = below.sku group by kit.sku

-- name: read_listings
-- The listings with these keys, each with its components by code.
select listing.channel, listing.code, listing.active,
    array_agg(part.sku order by part.sku) filter (where part.sku is not null),
    array_agg(part.quantity order by part.sku) filter (where part.sku is not null)
from unnest(%(k0)s::text[], %(k1)s::text[]) as key (channel, code)
join listing on listing.channel = key.channel and listing.code = key.code
left join listing_component part on part.channel = listing.channel and part.listing = listing.code
group by listing.channel, listing.code

-- name: clear_listings
-- Takes the components of these listings away, to be written anew.
delete from listing_component part
using unnest(%(k0)s::text[], %(k1)s::text[]) as key (channel, code)
where part.channel = key.channel and part.listing = key.code

-- name: write_listings
-- Listings as given, new or not, and components of those that have none.
with given as (
    select channel, code, active, components
    from jsonb_to_recordset(%(rows)s::jsonb) as given (
        channel text, code text, active boolean, components jsonb)
), headed as (
    insert into listing (channel, code, active) select channel, code, active from given
    on conflict (channel, code) do update set active = excluded.active
)
insert into listing_component (channel, listing, sku, quantity)
select given.channel, given.code, line.sku, line.quantity
from given, jsonb_to_recordset(given.components) as line (sku text, quantity bigint)

-- name: page_listings
-- Listings after (channel, code), by both; of one channel where it is given.
select listing.channel, listing.code, listing.active,
    array_agg(part.sku order by part.sku) filter (where part.sku is not null),
    array_agg(part.quantity order by part.sku) filter (where part.sku is not null)
from (
    select channel, code, active from listing
    where (channel, code) > (%(after0)s, %(after1)s)
        and (%(channel)s::text is null or channel = %(channel)s)
    order by channel, code limit %(limit)s
) listing
left join listing_component part on part.channel = listing.channel and part.listing = listing.code
group by listing.channel, listing.code, listing.active
order by listing.channel, listing.code

-- name: list_all
-- Lists every active SKU that the channel does not sell by itself yet, under its own code.
with missing as (
    select sku.code from sku
    where sku.active and not exists (
        select from listing where listing.channel = %(channel)s and listing.code = sku.code)
), headed as (
    insert into listing (channel, code) select %(channel)s, code from missing
), filled as (
    insert into listing_component (channel, listing, sku, quantity)
    select %(channel)s, code, code, 1 from missing
), marked as (
    insert into dirty (sku, sequence) select code, 0 from missing
)
select count(*) from missing

-- name: read_locations
-- The locations with these codes, each with its groups by code.
select code, name, time_zone, feed, priority, supply_grace_s,
    array(select member.code from location_group member
          where member.location = location.code order by member.code)
from location where code = any(%(k0)s::text[])

-- name: write_locations
-- Locations as given, new or not.
insert into location (code, name, time_zone, feed, priority, supply_grace_s)
select code, name, time_zone, feed, priority, supply_grace_s
from jsonb_to_recordset(%(rows)s::jsonb) as given (
    code text, name text, time_zone text, feed text, priority integer, supply_grace_s integer)
on conflict (code) do update set
    name = excluded.name, time_zone = excluded.time_zone,
    feed = excluded.feed, priority = excluded.priority, supply_grace_s = excluded.supply_grace_s

-- name: clear_groups
-- Takes these locations out of their groups, to be written anew.
delete from location_group where location = any(%(k0)s::text[])

-- name: write_groups
-- Puts locations into their groups.
insert into location_group (code, location)
select member.code, given.code
from jsonb_to_recordset(%(rows)s::jsonb) as given (code text, groups jsonb),
    jsonb_array_elements_text(given.groups) as member (code)

-- name: page_locations
-- Locations after a code, by code.
select code, name, time_zone, feed, priority, supply_grace_s,
    array(select member.code from location_group member
          where member.location = location.code order by member.code)
from location where code > %(after)s order by code limit %(limit)s

-- name: pools_without
-- (location, channel, group) of pools that name a group which, without these locations, no location is in.
select member.location, channel.code, name
from channel
cross join unnest(channel.pool) as name
join location_group member on member.code = name and member.location = any(%(codes)s::text[])
where not exists (select from location_group other
                  where other.code = name and other.location <> all(%(codes)s::text[]))
order by 1, 2, 3;

-- name: known_codes
-- Which of these codes are systems, channels, locations and groups.
select 'system', code from system where code = any(%(codes)s::text[])
union all select 'channel', code from channel where code = any(%(codes)s::text[])
union all select 'location', code from location where code = any(%(codes)s::text[])
union all select distinct 'group', code from location_group where code = any(%(codes)s::text[])
