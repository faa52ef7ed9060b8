-- name: listings_of_skus
-- (channel, listing, whether it has a level, whether the channel is told it) of the listings that
-- have one of these SKUs as a component, in order of key.
select distinct part.channel, part.listing, level.channel is not null, system.connector <> ''
from listing_component part
join channel on channel.code = part.channel
join system on system.code = channel.system
left join level on level.channel = part.channel and level.listing = part.listing
               and level.location = ''
where part.sku = any (%(skus)s::text[])
order by part.channel, part.listing;

-- name: listings_after
-- (channel, listing, whether it has a level, whether the channel is told it) of listings, and of
-- levels whose listing is gone, after a key, in order of key.
select known.channel, known.listing, level.channel is not null,
       exists (select from channel join system on system.code = channel.system
               where channel.code = known.channel and system.connector <> '')
from (
    (select channel, code as listing from listing
     where (channel, code) > (%(channel)s, %(listing)s)
     order by channel, code limit %(limit)s)
    union
    (select channel, listing from level
     where (channel, listing) > (%(channel)s, %(listing)s)
     order by channel, listing limit %(limit)s)
) known
left join level on level.channel = known.channel and level.listing = known.listing
               and level.location = ''
order by known.channel, known.listing
limit %(limit)s;

-- name: components
-- What active listings consist of, in order of key; a listing that is gone or inactive has no row.
select part.channel, part.listing, part.sku, part.quantity, sku.sku_group,
       exists (select from kit where kit.sku = part.sku)
from unnest(%(channels)s::text[], %(listings)s::text[]) as wanted (channel, listing)
join listing on listing.channel = wanted.channel and listing.code = wanted.listing and listing.active
join listing_component part on part.channel = wanted.channel and part.listing = wanted.listing
join sku on sku.code = part.sku
order by part.channel, part.listing, part.sku;

-- name: made_of
-- What these kits, and the kits within them, are made of directly: (kit, SKU, its group, quantity).
with recursive below (sku) as (
    select distinct sku from kit where sku = any (%(kits)s::text[])
    union
    select kit.component from below join kit on kit.sku = below.sku
)
select kit.sku, kit.component, sku.sku_group, kit.quantity
from below
join kit on kit.sku = below.sku
join sku on sku.code = kit.component
order by kit.sku, kit.component;

-- name: kits_above
-- Every kit that contains one of these SKUs, however deep.
with recursive above (sku) as (
    select distinct kit.sku from kit where component = any (%(skus)s::text[])
    union
    select kit.sku from above join kit on kit.component = above.sku
)
select sku from above order by sku;

-- name: channels
-- Every channel: the places it may sell from, by priority and code, its groups taken apart; whether its
-- orders may be served from several of them, the class of its backorders, and whether its partner takes
-- gross numbers.
select channel.code,
       array(
           select location.code
           from location
           where location.code = any (channel.pool)
              or exists (select from location_group member
                         where member.location = location.code and member.code = any (channel.pool))
           order by location.priority, location.code
       ),
       channel.allow_split, channel.demand_class, system.levels_are = 'gross'
from channel
join system on system.code = channel.system
order by channel.code;

-- name: policies
-- Policy rows of all channels that may speak of these SKUs or groups, by channel and position.
select channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap, pack_size,
       safety_per, min_shelf_life_days, ring_fence_mode, buffer_percent, buffer_risk, buffer_most,
       buffer_most_percent, blind_s, degraded_cap
from exposure_policy
where (sku is null or sku = any (%(skus)s::text[]))
  and (sku_group is null or sku_group = any (%(groups)s::text[]))
order by channel, position;

-- name: all_policies
-- Every policy row of these channels.
select channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap, pack_size,
       safety_per, min_shelf_life_days, ring_fence_mode, buffer_percent, buffer_risk, buffer_most,
       buffer_most_percent, blind_s, degraded_cap
from exposure_policy where channel = any (%(channels)s::text[])
order by channel, position;

-- name: groups_of_skus
-- The group of each of these SKUs that the item master knows.
select code, sku_group from sku where code = any (%(skus)s::text[]) order by code;

-- name: listed
-- First ('', SKU, kit) of every kit that holds one of these SKUs, however deep. Then every listing that
-- has one of these SKUs as a component, by itself or in a kit, of all channels or of one, with each of its
-- parts, its group, whether it is a kit, and whether the listing is active; in order of key.
with recursive above (asked, sku) as (
    select code collate "C", code collate "C" from unnest(%(skus)s::text[]) as given (code)
    union
    select above.asked, kit.sku from above join kit on kit.component = above.sku
), wanted as (
    select distinct part.channel, part.listing
    from above
    join listing_component part on part.sku = above.sku
    where %(channel)s::text is null or part.channel = %(channel)s
)
select '' as channel, asked as listing, sku, 0 as quantity, '' as sku_group, true as is_kit, true as active
from above where sku <> asked
union all
select part.channel, part.listing, part.sku, part.quantity, sku.sku_group,
       exists (select from kit where kit.sku = part.sku), listing.active
from wanted
join listing on listing.channel = wanted.channel and listing.code = wanted.listing
join listing_component part on part.channel = wanted.channel and part.listing = wanted.listing
join sku on sku.code = part.sku
order by channel, listing, sku;

-- name: gross_channels
-- Those of these channels whose partners take gross numbers.
select channel.code from channel join system on system.code = channel.system
where channel.code = any (%(channels)s::text[]) and system.levels_are = 'gross';

-- name: sold_twice
-- (channel, SKU) of these that more than one active listing of the channel consists of.
select part.channel, part.sku
from listing_component part
join listing on listing.channel = part.channel and listing.code = part.listing and listing.active
where part.channel = any (%(channels)s::text[]) and part.sku = any (%(skus)s::text[])
group by part.channel, part.sku
having count(*) > 1;

-- name: published
-- What the channels of these listings acknowledged last.
select level.channel, level.listing, level.acknowledged
from unnest(%(channels)s::text[], %(listings)s::text[]) as wanted (channel, listing)
join level on level.channel = wanted.channel and level.listing = wanted.listing
          and level.location = '';
