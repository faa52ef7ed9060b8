-- Search: every query looks at a bounded number of rows, by an index.

-- name: skus
-- SKUs whose code begins with a text, then those a partner calls so, by code: code and description.
select code, description from (
    (select code, description, 0 as rank from sku
     where code >= %(text)s and code < %(text)s || U&'\+10FFFF' order by code limit %(limit)s)
    union
    (select s.code, s.description, 1
     from unnest(%(systems)s::text[]) as asked (system)
     cross join lateral (
         select b.code from binding b
         where b.system = asked.system and b.subject = 'item'
           and b.partner_code >= %(text)s and b.partner_code < %(text)s || U&'\+10FFFF'
         order by b.partner_code limit %(limit)s) bound
     join sku s on s.code = bound.code)
) found
group by code, description
order by min(rank), code
limit %(limit)s;

-- name: orders
-- Orders of these systems whose number is a text, or begins with it: system, order and its lines.
select system, order_ref, count(*), max(state)
from unnest(%(systems)s::text[]) as asked (code)
cross join lateral (
    select d.system, d.order_ref, d.state from demand_line d
    where d.system = asked.code
      and d.order_ref >= %(text)s and d.order_ref < %(text)s || U&'\+10FFFF'
    order by d.order_ref, d.line limit %(limit)s * 10) found
group by system, order_ref
order by order_ref <> %(text)s, order_ref, system
limit %(limit)s;

-- name: documents
-- Sequences of what these systems told under a document that begins with a text.
select found.sequence
from unnest(%(systems)s::text[]) as asked (system)
cross join lateral (
    select key, sequence from identity
    where key >= replace(asked.system, '|', '||') || '|' || %(document)s
      and key < replace(asked.system, '|', '||') || '|' || %(document)s || U&'\+10FFFF'
      and sequence > 0
    order by key limit %(limit)s) found
group by found.sequence
order by found.sequence
limit %(limit)s;

-- name: partners
-- Systems, channels and locations whose code or name contains a text: what it is, code, and words.
select * from (
    select 'system' as what, code, role as words from system where code ilike %(pattern)s
    union all
    select 'channel', code, 'of ' || system from channel where code ilike %(pattern)s
    union all
    select 'location', code, name from location
    where code ilike %(pattern)s or name ilike %(pattern)s
) found
order by what, code limit %(limit)s;

-- name: parked
-- Of the newest parked payloads, those whose reason, path or missing code contains a text.
select id, system, path, reason, missing, received_at
from (select id, system, path, reason, missing, received_at from payload
      where state = 'parked' order by id desc limit %(window)s) newest
where reason ilike %(pattern)s or path ilike %(pattern)s or missing ilike %(pattern)s
order by id desc limit %(limit)s;

-- name: work
-- Of the newest open work items, those whose kind, subject or detail contains a text.
select id, kind, subject, system, opened_at
from (select id, kind, subject, system, detail, opened_at from work_item
      where closed_at is null order by id desc limit %(window)s) newest
where subject ilike %(pattern)s or kind ilike %(pattern)s or detail::text ilike %(pattern)s
order by id desc limit %(limit)s;

-- name: errors
-- What connections and channels complain of now that contains a text: where, the words, how often.
select * from (
    select 'connection' as what, system as code, last_error as words, failures::bigint as times
    from connection_state where failures > 0 and last_error ilike %(pattern)s
    union all
    select 'poll', connection, last_error, failures::bigint
    from poll_cursor where failures > 0 and last_error ilike %(pattern)s
    union all
    select 'channel', channel, last_error, count(*)
    from (select channel, last_error from level where state = 'refused' limit %(window)s) refused
    where last_error ilike %(pattern)s
    group by channel, last_error
) found
order by times desc, code limit %(limit)s;
