-- name: read_one_moment
-- Sees one moment and changes nothing; nobody waits for it, so that it may stand still for a while.
set transaction isolation level repeatable read, read only;
set local idle_in_transaction_session_timeout = '30s';

-- name: plan_for_its_values
-- From here on, in this transaction, each query is planned for its own values.
select set_config('plan_cache_mode', 'force_custom_plan', true);

-- name: items
-- SKUs after a code, in order of code: (code, description, sku_group, on_hand, promised, free).
-- `pattern` is an escaped ILIKE pattern over code, description and partner codes; '%' is everything.
select s.code, s.description, s.sku_group,
       coalesce(sum(b.sellable + b.inspection + b.quarantined + b.damaged), 0)::bigint as on_hand,
       coalesce(sum(b.reserved + b.allocated + b.picked), 0)::bigint as promised,
       coalesce(sum(b.sellable - b.reserved - b.allocated - b.picked), 0)::bigint as free
from (
    select code, description, sku_group
    from sku
    where code > %(after)s
      and (%(pattern)s = '%%'
           or code ilike %(pattern)s
           or description ilike %(pattern)s
           or exists (select 1 from binding
                      where subject = 'item' and binding.code = sku.code
                        and partner_code ilike %(pattern)s))
    order by code
    limit %(limit)s
) s
left join balance b on b.sku = s.code
group by s.code, s.description, s.sku_group
order by s.code;

-- name: sku_of
-- The SKU that a code means: (code), itself first, then the one bound to it where only one is.
select code from sku where code = %(text)s
union all
select min(code) from binding
where subject = 'item' and partner_code = %(text)s
  and not exists (select 1 from sku where code = %(text)s)
having count(distinct code) = 1;

-- name: item
-- One SKU: (code, description, sku_group, unit_cost, currency, base_unit, control, active,
-- its units as text[], the partners' codes that differ from it as text[]).
select s.code, s.description, s.sku_group, s.unit_cost, s.currency, s.base_unit, s.control, s.active,
       array(select u.code || ' = ' || u.factor || ' ' || s.base_unit from unit u
             where u.sku = s.code order by u.factor, u.code),
       array(select b.partner_code || ' at ' || string_agg(b.system, ', ' order by b.system)
             from binding b
             where b.subject = 'item' and b.code = s.code and b.partner_code <> s.code
             group by b.partner_code order by b.partner_code limit 20)
from sku s
where s.code = %(sku)s;

-- name: matrix
-- The two books of one SKU at every location that has or had any of it, lots together: (location,
-- name, sellable, inspection, quarantined, damaged, reserved, allocated, picked).
select b.location, l.name,
       sum(b.sellable)::bigint, sum(b.inspection)::bigint, sum(b.quarantined)::bigint,
       sum(b.damaged)::bigint, sum(b.reserved)::bigint, sum(b.allocated)::bigint,
       sum(b.picked)::bigint
from balance b
join location l on l.code = b.location
where b.sku = %(sku)s
group by b.location, l.name, l.priority
order by l.priority, b.location;

-- name: places
-- Names of locations in order of priority: (code, name).
select code, name from location where code = any (%(codes)s::text[]) order by priority, code;

-- name: in_transit
-- Units of one SKU on the way between two locations, at the end of the ledger or up to a sequence
-- number: (bigint). What was sent and has not come, less what moved since.
select (
    coalesce((select sum(sent - arrived - closed) from transfer where sku = %(sku)s), 0)
    - coalesce((
        select sum(quantity * ((to_account = 'in_transit')::int - (from_account = 'in_transit')::int))
        from entry
        where sku = %(sku)s and sequence > %(upto)s
          and exists (select from transfer where transfer.sku = %(sku)s)), 0)
)::bigint;

-- name: levels
-- What every channel should show, was sent, acknowledged and read back of one SKU's listings.
select l.channel, l.listing, l.location, c.quantity, l.desired, l.version, l.sequence,
       l.projected_at, l.sent, l.sent_version, l.sent_at, l.acknowledged, l.acknowledged_version,
       l.acknowledged_at, l.doubt_until, l.state, l.waiting_since, l.attempts, l.last_error,
       l.verified, l.verified_at
from listing_component c
join level l on l.channel = c.channel and l.listing = c.listing
where c.sku = %(sku)s
order by l.channel, l.listing, l.location;

-- name: unpublished_listings
-- Listings of one SKU that no level was ever computed for: (channel, listing).
select c.channel, c.listing
from listing_component c
where c.sku = %(sku)s
  and not exists (select 1 from level l where l.channel = c.channel and l.listing = c.listing)
order by c.channel, c.listing;

-- name: account_by_kind
-- How a balance came about: the entries of one account at one location up to a sequence number, by
-- kind of event: (kind, units, entries, last recorded_at). Their units sum to the balance. Only the
-- newest %(newest)s are told apart by kind; all before them are one row of kind ''.
with mine as not materialized (
    select e.sequence,
           case when e.to_account = %(account)s::account and e.to_location = %(location)s
                then e.quantity else 0 end
           - case when e.from_account = %(account)s::account and e.from_location = %(location)s
                  then e.quantity else 0 end as units
    from entry e
    where e.sku = %(sku)s and e.sequence <= %(upto)s
      and ((e.to_account = %(account)s::account and e.to_location = %(location)s)
           or (e.from_account = %(account)s::account and e.from_location = %(location)s))
), cut as (
    select sequence from mine order by sequence desc offset %(newest)s limit 1
)
select * from (
    select '' as kind, sum(mine.units)::bigint as units, count(*) as entries,
           (select recorded_at from event where event.sequence = cut.sequence) as last_at,
           cut.sequence
    from cut join mine on mine.sequence <= cut.sequence
    group by cut.sequence
    union all
    select v.kind, sum(mine.units)::bigint, count(*), max(v.recorded_at), max(mine.sequence)
    from mine
    join event v on v.sequence = mine.sequence
    where mine.sequence > coalesce((select sequence from cut), -1)
    group by v.kind
) told
order by sequence;

-- name: account_entries
-- The newest entries of one SKU, up to a sequence number, that moved units into or out of some accounts,
-- at one location or (where it is empty) at all of them: as stock.ledger_before tells entries.
select e.sequence, e.n, v.kind, v.system, v.occurred_at, v.recorded_at, e.lot, e.from_account::text,
       e.from_location, e.to_account::text, e.to_location, e.quantity
from (
    select * from entry
    where sku = %(sku)s and sequence <= %(upto)s
      and ((to_account = any (%(accounts)s::account[]) and %(location)s in ('', to_location))
           or (from_account = any (%(accounts)s::account[])
               and %(location)s in ('', from_location)))
    order by sequence desc, n desc
    limit %(limit)s
) e
cross join lateral (select * from event where event.sequence = e.sequence offset 0) v
order by e.sequence desc, e.n desc;

-- name: under_way
-- What is under way of one SKU, by document, up to a sequence number, largest first: (document, units,
-- entries, last recorded_at).
select moved.document, moved.units, moved.entries, v.recorded_at
from (
    select coalesce(transfer, '') as document,
           sum(quantity * ((to_account = 'in_transit')::int - (from_account = 'in_transit')::int))::bigint
               as units,
           count(*) as entries, max(sequence) as last
    from entry
    where sku = %(sku)s and sequence <= %(upto)s and 'in_transit' in (from_account, to_account)
      and exists (select from transfer where transfer.sku = %(sku)s)
    group by coalesce(transfer, '')
) moved
join event v on v.sequence = moved.last
where moved.units <> 0
order by moved.units desc, moved.document;

-- name: open_claims
-- The demand lines that hold promises of a SKU at one location: (system, order_ref, line, channel,
-- state, reserved, allocated, picked, expires_at), largest first.
select d.system, d.order_ref, d.line, d.channel, d.state,
       c.reserved, c.allocated, c.picked, d.expires_at
from claim c
join demand_line d on d.id = c.line_id
where c.sku = %(sku)s and c.location = %(location)s
  and c.reserved + c.allocated + c.picked > 0
order by c.reserved + c.allocated + c.picked desc, d.system, d.order_ref, d.line
limit %(limit)s;

-- name: attempts
-- The attempts to bring one listing to a channel that had begun by a time, newest first, as far as they
-- were known then: (call, version, value, started_at, finished_at, outcome, detail).
select tried.call, tried.version, tried.value, tried.started_at,
       case when tried.finished_at <= %(at)s then tried.finished_at end,
       case when tried.finished_at <= %(at)s then tried.outcome end,
       case when tried.finished_at <= %(at)s then tried.detail else '' end
from attempt tried
where tried.channel = %(channel)s and tried.listing = %(listing)s and tried.location = %(location)s
  and tried.started_at <= %(at)s
order by tried.version desc, tried.call desc
limit %(limit)s;

-- name: newest_sequence
-- The last sequence that touched a SKU's books, the last that any of its levels was changed, sent,
-- acknowledged and read back, and its open work items: (sequence, version, sent_at, acknowledged_at,
-- verified_at, count, last_seen_at).
select coalesce((select max(sequence) from entry where sku = %(sku)s), 0),
       coalesce(max(l.version), 0), max(l.sent_at), max(l.acknowledged_at), max(l.verified_at),
       (select count(*) from work_item where sku = %(sku)s and closed_at is null),
       (select max(last_seen_at) from work_item where sku = %(sku)s and closed_at is null)
from listing_component c
join level l on l.channel = c.channel and l.listing = c.listing
where c.sku = %(sku)s;
