-- name: listings_of_skus
-- (channel, listing, whether it has a level, whether the channel is told it) of the listings that
-- have one of these SKUs as a component, or a kit with it, in order of key.
with recursive up (sku) as (
    select distinct sku collate "C" from unnest(%(skus)s::text[]) as touched (sku)
    union
    select kit.sku from up join kit on kit.component = up.sku
)
select distinct part.channel, part.listing, level.channel is not null, system.connector <> ''
from up
join listing_component part on part.sku = up.sku
join channel on channel.code = part.channel
join system on system.code = channel.system
left join level on level.channel = part.channel and level.listing = part.listing
               and level.location = ''
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
-- What active listings consist of, kits taken apart, in order of key; a listing that is gone or
-- inactive has no row. More of a SKU than a balance can hold is as good as that.
with recursive part (channel, listing, sku, quantity) as (
    select line.channel, line.listing, line.sku, line.quantity
    from unnest(%(channels)s::text[], %(listings)s::text[]) as wanted (channel, listing)
    join listing on listing.channel = wanted.channel and listing.code = wanted.listing
                and listing.active
    join listing_component line on line.channel = wanted.channel and line.listing = wanted.listing
    union all
    select part.channel, part.listing, kit.component,
           least(part.quantity::numeric * kit.quantity, 1e18)::bigint
    from part join kit on kit.sku = part.sku
)
select part.channel, part.listing, part.sku, least(sum(part.quantity), 1e18)::bigint, sku.sku_group
from part
join sku on sku.code = part.sku
where not exists (select from kit where kit.sku = part.sku)
group by part.channel, part.listing, part.sku, sku.sku_group
order by part.channel, part.listing, part.sku;

-- name: parts_of_skus
-- What these SKUs are made of: (asked, sku, quantity, group), kits taken apart, by SKU; one that is no
-- kit is made of itself.
with recursive part (asked, sku, quantity) as (
    select distinct sku collate "C", sku collate "C", 1::bigint
    from unnest(%(skus)s::text[]) as asked (sku)
    union all
    select part.asked, kit.component, least(part.quantity::numeric * kit.quantity, 1e18)::bigint
    from part join kit on kit.sku = part.sku
)
select part.asked, part.sku, least(sum(part.quantity), 1e18)::bigint, sku.sku_group
from part
join sku on sku.code = part.sku
where not exists (select from kit where kit.sku = part.sku)
group by part.asked, part.sku, sku.sku_group
order by part.asked, part.sku;

-- name: sellers
-- Whether each channel may split an order over places, and the class of its backorders.
select code, allow_split, demand_class from channel order by code;

-- name: pools
-- The places each channel may sell from, by priority and code; groups are taken apart.
select channel.code,
       array(
           select location.code
           from location
           where location.code = any (channel.pool)
              or exists (select from location_group member
                         where member.location = location.code and member.code = any (channel.pool))
           order by location.priority, location.code
       )
from channel
order by channel.code;

-- name: policies
-- Policy rows of all channels that may speak of these SKUs or groups, by channel and position.
select channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap, pack_size,
       safety_per, min_shelf_life_days, presell_days
from exposure_policy
where (sku is null or sku = any (%(skus)s::text[]))
  and (sku_group is null or sku_group = any (%(groups)s::text[]))
order by channel, position;

-- name: groups_of_skus
-- The group of each of these SKUs that the item master knows.
select code, sku_group from sku where code = any (%(skus)s::text[]) order by code;

-- name: listings_by_sku
-- (sku, channel, listing) of every listing that has one of these SKUs as a component, or a kit with
-- it.
with recursive up (asked, sku) as (
    select distinct sku collate "C", sku collate "C" from unnest(%(skus)s::text[]) as asked (sku)
    union
    select up.asked, kit.sku from up join kit on kit.component = up.sku
)
select distinct up.asked, part.channel, part.listing
from up join listing_component part on part.sku = up.sku
order by up.asked, part.channel, part.listing;
