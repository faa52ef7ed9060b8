-- Risk-bounded buffers: which are wanted, and what they are.

-- name: wanted
-- (channel, sku, group, listings) of what channels with a risk-bounded policy sell, after a key, in
-- order of key; only these SKUs where they are given.
select part.channel, part.sku, sku.sku_group, count(*)
from listing_component part
join listing on listing.channel = part.channel and listing.code = part.listing and listing.active
join sku on sku.code = part.sku
where exists (select from exposure_policy policy
              where policy.channel = part.channel and policy.buffer_risk is not null)
  and (part.channel, part.sku) > (%(channel)s, %(sku)s)
  and (%(skus)s::text[] is null or part.sku = any (%(skus)s::text[]))
group by part.channel, part.sku, sku.sku_group
order by part.channel, part.sku
limit %(limit)s;

-- name: of_pairs
-- (channel, sku, group, listings) of these channels and SKUs, as far as they are sold.
select part.channel, part.sku, sku.sku_group, count(*)
from unnest(%(channels)s::text[], %(skus)s::text[]) as pair (channel, sku)
join listing_component part on part.channel = pair.channel and part.sku = pair.sku
join listing on listing.channel = part.channel and listing.code = part.listing and listing.active
join sku on sku.code = part.sku
group by part.channel, part.sku, sku.sku_group
order by part.channel, part.sku;

-- name: buffers
-- The buffers of these SKUs.
select channel, sku, units, inputs from buffer_now where sku = any (%(skus)s::text[]);

-- name: write
-- Stores buffers whose number or risk changed (none is 0), and has the levels of a SKU whose number
-- changed computed again. Answers how many changed.
with given as (
    select given.*, given.units <> coalesce(before.units, 0) as differs
    from unnest(%(channels)s::text[], %(skus)s::text[], %(units)s::bigint[], %(inputs)s::jsonb[])
         as given (channel, sku, units, inputs)
    left join buffer_now before on before.channel = given.channel and before.sku = given.sku
    where (given.units, given.inputs -> 'risk')
          is distinct from (before.units, before.inputs -> 'risk')
), stored as (
    insert into buffer_now (channel, sku, units, inputs, computed_at)
    select channel, sku, units, inputs, %(now)s from given
    on conflict (channel, sku) do update set
        units = excluded.units, inputs = excluded.inputs, computed_at = excluded.computed_at
), marked as (
    insert into dirty (sku, sequence) select distinct sku, 0 from given where differs
)
select count(*) from given where differs;

-- name: forget
-- Takes buffers away that no policy asks for any more, a bounded number at a time.
with gone as (
    delete from buffer_now
    where ctid = any (array(
        select buffer.ctid from buffer_now buffer
        where not exists (select from exposure_policy policy
                          where policy.channel = buffer.channel and policy.buffer_risk is not null)
        limit %(limit)s))
    returning sku
), marked as (
    insert into dirty (sku, sequence) select distinct sku, 0 from gone
)
select count(*) from gone;

-- name: asked_for
-- Whether any policy asks for a risk-bounded buffer.
select exists (select from exposure_policy where buffer_risk is not null);

-- name: take_time
-- Lets this transaction stand still for a minute.
select set_config('idle_in_transaction_session_timeout', '60s', true);
