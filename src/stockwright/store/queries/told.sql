-- What partner systems counted themselves, or told as their own number.

-- name: told
-- The newest count or snapshot of each bucket and lot of one SKU from each system at each place, up to
-- a sequence number: (system, location, bucket, lot, sequence, kind, outcome, counted, as of,
-- difference from the ledger at that time or null, whether it was posted). A SKU is named by its own
-- code, or by a code that the system has for it.
with recursive names as (
    select %(sku)s::text collate "C" as code, null::text collate "C" as system
    union all
    select partner_code, system from binding where subject = 'item' and code = %(sku)s
), teller as (
    (select names.code, names.system as only_by, first.system, first.location
     from names
     cross join lateral (
         select event.system, coalesce(event.body ->> 'location', '') collate "C" as location
         from event
         where coalesce(event.body ->> 'sku', event.body ->> 'item') collate "C" = names.code
           and event.kind in ('count', 'snapshot')
         order by event.system, coalesce(event.body ->> 'location', '') collate "C" limit 1
     ) first)
    union all
    select teller.code, teller.only_by, next.system, next.location
    from teller
    cross join lateral (
        select event.system, coalesce(event.body ->> 'location', '') collate "C" as location
        from event
        where coalesce(event.body ->> 'sku', event.body ->> 'item') collate "C" = teller.code
          and event.kind in ('count', 'snapshot')
          and (event.system, coalesce(event.body ->> 'location', '') collate "C")
              > (teller.system, teller.location)
        order by event.system, coalesce(event.body ->> 'location', '') collate "C" limit 1
    ) next
), told as (
    select teller.system, teller.location, one.*
    from teller
    cross join lateral (
        select coalesce(event.body ->> 'bucket', 'sellable') as bucket,
               coalesce(event.body ->> 'lot', '') as lot,
               event.sequence, event.kind, event.outcome, event.body, event.answer,
               event.occurred_at
        from event
        where coalesce(event.body ->> 'sku', event.body ->> 'item') collate "C" = teller.code
          and event.kind in ('count', 'snapshot') and event.system = teller.system
          and coalesce(event.body ->> 'location', '') collate "C" = teller.location
          and event.sequence <= %(upto)s
          and event.outcome in ('recorded', 'observed')
          and (event.body ->> 'sku' is not null) = (teller.only_by is null)
        order by event.sequence desc
        limit %(newest)s
    ) one
    where teller.only_by is null or teller.only_by = teller.system
)
select distinct on (system, location, bucket, lot)
       system, location, bucket, lot, sequence, kind, outcome,
       coalesce((answer -> 'answer' ->> 'base_quantity')::bigint, (body ->> 'quantity')::bigint),
       occurred_at, (answer -> 'answer' ->> 'difference')::bigint,
       exists (select from entry where entry.sequence = told.sequence)
from told
order by system, location, bucket, lot, occurred_at desc, sequence desc;

-- name: told_before
-- The same of one system, place and bucket: everything it told, newest first.
select v.system, coalesce(v.body ->> 'location', ''), coalesce(v.body ->> 'bucket', 'sellable'),
       coalesce(v.body ->> 'lot', ''), v.sequence, v.kind, v.outcome,
       coalesce((v.answer -> 'answer' ->> 'base_quantity')::bigint, (v.body ->> 'quantity')::bigint),
       v.occurred_at, (v.answer -> 'answer' ->> 'difference')::bigint,
       exists (select from entry where entry.sequence = v.sequence)
from (
    select %(sku)s::text collate "C" as code, true as own
    union all
    select partner_code, false from binding
    where subject = 'item' and code = %(sku)s and system = %(system)s
) names
join event v on coalesce(v.body ->> 'sku', v.body ->> 'item') collate "C" = names.code
            and v.kind in ('count', 'snapshot') and v.system = %(system)s
            and coalesce(v.body ->> 'location', '') collate "C" = %(location)s
where v.sequence <= %(upto)s and v.outcome in ('recorded', 'observed')
  and (v.body ->> 'sku' is not null) = names.own
  and coalesce(v.body ->> 'bucket', 'sellable') = %(bucket)s
order by v.sequence desc
limit %(limit)s;
