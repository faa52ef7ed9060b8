-- What exposure policies apply to, who made them so, and what holds by them now.

-- name: matches
-- How many SKUs of active listings each row decides, and how many listings have one of them: (channel, position, SKUs, listings); position 0 for what no row matches. Kits count themselves,
-- and what they are made of.
with recursive sold (channel, listing, sku) as (
    select part.channel, part.listing, part.sku
    from listing_component part
    join listing on listing.channel = part.channel and listing.code = part.listing and listing.active
    union
    select sold.channel, sold.listing, kit.component from sold join kit on kit.sku = sold.sku
), pair as materialized (
    select sold.channel, sold.sku, sku.sku_group
    from (select distinct channel, sku from sold) sold join sku on sku.code = sold.sku
), may as (
    -- By what they name, each found by its key: a thousand rows for one SKU each cost no more than one.
    select pair.channel, pair.sku, policy.position from pair
    join exposure_policy policy on policy.channel = pair.channel and policy.sku = pair.sku
                               and (policy.sku_group is null or policy.sku_group = pair.sku_group)
    union all
    select pair.channel, pair.sku, policy.position from pair
    join exposure_policy policy on policy.channel = pair.channel and policy.sku is null
                               and policy.sku_group = pair.sku_group
    union all
    select pair.channel, pair.sku, policy.position from pair
    join exposure_policy policy on policy.channel = pair.channel and policy.sku is null
                               and policy.sku_group is null
    union all
    select channel, sku, 2147483647 from pair
), first as materialized (
    select channel, sku, min(position) as position from may group by channel, sku
), skus as (
    select channel, position, count(*) as n from first group by channel, position
), listings as (
    select channel, position, count(*) as n
    from (select distinct sold.channel, first.position, sold.listing
          from sold join first on first.channel = sold.channel and first.sku = sold.sku) each
    group by channel, position
)
select channel, case position when 2147483647 then 0 else position end, skus.n, listings.n
from skus join listings using (channel, position)
order by channel, position;

-- name: made_so
-- Of these channels, the revision that made each row what it is, with who, when and why.
select row.channel, row.position, made.id, made.at, made.actor, made.reason, made.source
from history.exposure_policy row join revision made on made.id = row.since
where row.until is null and row.channel = any (%(channels)s::text[])
order by row.channel, row.position;

-- name: revisions
-- The newest revisions that changed a channel's rows.
select id, at, actor, reason, source from revision
where id in (select since from history.exposure_policy where channel = %(channel)s
             union
             select until from history.exposure_policy where channel = %(channel)s)
order by id desc
limit %(limit)s;

-- name: rows_of_revisions
-- What these revisions made of a channel's rows: (since, until, position, row).
select since, until, position, to_jsonb(row) - '{channel,position,since,until}'::text[]
from history.exposure_policy row
where channel = %(channel)s and (since = any (%(ids)s) or until = any (%(ids)s))
order by position;

-- name: rows_at
-- A channel's rows as of a revision, in order.
select to_jsonb(row) - '{channel,position,since,until}'::text[]
from history.exposure_policy row
where channel = %(channel)s and since <= %(revision)s and (until is null or until > %(revision)s)
order by position;

-- name: buffers
-- Risk-bounded buffers in force: (channel, how many SKUs, base units in all).
select channel, count(*), sum(units)::bigint from buffer_now where units > 0
group by channel order by channel;

-- name: largest_buffers
-- The largest risk-bounded buffers of a channel.
select channel, sku, units, inputs from buffer_now
where channel = %(channel)s and units > 0 order by units desc, sku limit %(limit)s;

-- name: groups
-- Groups of SKUs, by name.
select distinct sku_group from sku where sku_group <> '' order by sku_group limit %(limit)s;

-- name: known_groups
-- Which of these are groups of SKUs.
select distinct sku_group from sku where sku_group = any (%(groups)s::text[]);

-- name: near_skus
-- SKUs that stand next to a code in their order.
(select code from sku where code < %(code)s order by code desc limit 25)
union all
(select code from sku where code > %(code)s order by code limit 25);
