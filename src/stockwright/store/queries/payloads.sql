-- The first door: raw payloads, who works on them, what waits and for which code.

-- name: keep
-- Keeps payloads as received and wakes those who map them; answers the ids in the order given.
with given as (
    select * from unnest(%(systems)b::text[], %(doors)b::text[], %(content_types)b::text[], %(headers)b::text[],
                         %(bodies)b::bytea[], %(raw_keys)b::text[], %(states)b::text[],
                         %(paths)b::text[], %(reasons)b::text[], %(missing)b::text[])
        with ordinality as g (system, door, content_type, headers, body, raw_key, state, path, reason,
                              missing, n)
), kept as (
    insert into payload (system, door, content_type, headers, body, raw_key, state, path, reason,
                         missing)
    select system, door, content_type, headers::jsonb, body, raw_key, state, path, reason,
           missing
    from given order by n
    returning id
), woken as (
    select pg_notify('stockwright_payload', '')
)
select id from kept, woken order by id;

-- name: claim
-- Takes payloads for one worker until its lease ends, oldest first, and so many bytes of bodies that it
-- comes to their end meanwhile. Of those under one raw key only the oldest that is not settled, and none
-- behind a parked one or behind one with a parked part. A body over a mebibyte is not answered: it is read
-- alone, when its turn comes. The commit does not wait for the disk: a lease may be lost in a crash.
with free as (
    select p.id, octet_length(p.body) as size from payload p
    where p.state = 'received'
      and (select set_config('synchronous_commit', 'off', true)) is not null
      and (p.lease_until is null or p.lease_until < clock_timestamp())
      and (p.door = 'item' or p.system = any(%(systems)b::text[]))
      and (p.raw_key = '' or not exists (
          select from payload before
          where before.system = p.system and before.raw_key = p.raw_key
            and before.raw_key <> ''  -- or the index of open keys is not taken
            and before.state in ('received', 'parked')
            and coalesce(before.parent, before.id) < coalesce(p.parent, p.id)))
    order by p.id
    limit %(limit)s
    for update of p skip locked
), weighed as (
    select id, sum(size) over (order by id) - size as bytes_before from free
)
update payload p
set lease_until = clock_timestamp() + %(lease_s)s * interval '1 second',
    leased_by = %(worker)s, attempts = p.attempts + 1
from weighed
where p.id = weighed.id and weighed.bytes_before < %(bytes)s
returning p.id, p.system, p.door, p.content_type, p.headers, p.raw_key, p.items_done, p.attempts,
          p.parent, p.place, p.received_at,
          case when octet_length(p.body) <= 1048576 then p.body end;

-- name: look_at
-- One payload as `claim` answers it.
select p.id, p.system, p.door, p.content_type, p.headers, p.raw_key, p.items_done, p.attempts,
       p.parent, p.place, p.received_at,
       case when octet_length(p.body) <= 1048576 then p.body end
from payload p where p.id = %(id)s;

-- name: body_of
-- The content of a payload: door, type, headers and body.
select door, content_type, headers, body from payload where id = %(id)s;

-- name: extend
-- Keeps a lease a worker still holds.
update payload set lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
where id = %(id)s and leased_by = %(worker)s and state = 'received';

-- name: release
-- Gives back payloads whose turn did not come: others may take them at once.
update payload set lease_until = null, leased_by = '', attempts = greatest(0, attempts - 1)
where id = any(%(ids)b::bigint[]) and leased_by = %(worker)s and state = 'received';

-- name: park
-- Parks a whole payload with the path that failed.
update payload
set state = 'parked', path = %(path)s, reason = %(reason)s, missing = %(missing)s,
    lease_until = null, settled_at = clock_timestamp()
where id = %(id)s and state = 'received';

-- name: park_parts
-- Parks parts of a payload, each once, under the parent's raw key.
insert into payload (system, door, content_type, body, raw_key, received_at, state, path, reason,
                     missing, parent, place, fragment, settled_at)
select parent.system, 'part', parent.content_type, '', parent.raw_key, parent.received_at,
       'parked', part.path, part.reason, part.missing, parent.id, part.place, part.fragment,
       clock_timestamp()
from payload parent,
     unnest(%(places)b::text[], %(paths)b::text[], %(reasons)b::text[], %(missing)b::text[],
            %(fragments)b::text[]) as part (place, path, reason, missing, fragment)
where parent.id = %(id)s
on conflict (parent, place) where parent is not null do nothing;

-- name: settle
-- Marks payloads as done that have nothing for the ledger.
update payload set state = 'recorded', lease_until = null, settled_at = clock_timestamp()
where id = any(%(ids)b::bigint[]) and state = 'received';

-- name: requeue_missing
-- Parked payloads that waited for this code of this system ('' for any) go to work again.
update payload
set state = 'received', settled_at = null, attempts = 0, lease_until = null
where state = 'parked' and missing = %(missing)s and (%(system)s = '' or system = %(system)s)
returning id;

-- name: requeue_one
-- One parked payload goes to work again, on a person's word.
update payload
set state = 'received', settled_at = null, attempts = 0, lease_until = null
where state = 'parked' and id = %(id)s
returning id;

-- name: requeue_bound
-- Parked payloads whose missing code has become known, oldest first, go to work again.
with waiting as (
    select id, system, missing, split_part(missing, ':', 1) as subject,
           substr(missing, strpos(missing, ':') + 1) as code
    from payload where state = 'parked' and missing <> ''
), cured as (
    select w.id from waiting w join binding b
        on b.system = w.system and b.subject = w.subject and b.partner_code = w.code
    union
    select w.id from waiting w join sku on w.subject = 'sku' and sku.code = w.code
    union
    select w.id from waiting w join location l on w.subject = 'location' and l.code = w.code
    union
    select w.id from waiting w join system s on w.subject = 'system' and s.code = w.code
    union
    select w.id from waiting w join channel c on w.subject = 'channel' and c.code = w.code
    union
    select w.id from waiting w join unit u
        on w.subject = 'unit' and u.sku || ':' || u.code = w.code
), free as (
    select id from payload where id in (select id from cured) and state = 'parked'
    order by id limit %(limit)s for update skip locked
)
update payload p
set state = 'received', settled_at = null, attempts = 0, lease_until = null
from free where p.id = free.id
returning p.id;

-- name: discard
-- Sets one parked payload aside for ever, on a person's word.
update payload set state = 'discarded', reason = reason || %(why)s, settled_at = clock_timestamp()
where state = 'parked' and id = %(id)s
returning id;

-- name: revision
-- The number of the last change of the item master and configuration.
select revision from master_revision;

-- name: places_of
-- What this system calls our locations: its code and ours, for the codes asked.
select partner_code, code from binding
where system = %(system)s and subject = 'location' and partner_code = any(%(codes)b::text[]);

-- name: unknown_codes
-- Of the codes asked, those nobody knows yet: a partner's item is known by a binding of its system,
-- a location by a binding or as our own, a SKU and a channel as our own.
select asked.subject, asked.code
from unnest(%(subjects)b::text[], %(codes)b::text[]) as asked (subject, code)
where not exists (select from binding b
                  where b.system = %(system)s and b.subject = asked.subject
                    and b.partner_code = asked.code)
  and not (asked.subject = 'sku' and exists (select from sku where sku.code = asked.code))
  and not (asked.subject = 'channel'
           and exists (select from channel where channel.code = asked.code))
  and not (asked.subject = 'location'
           and exists (select from location where location.code = asked.code));

-- name: page
-- Payloads in one state with an id below `before`, newest first.
select p.id, p.system, p.door, p.content_type, p.received_at, p.state, p.items_done, p.reason,
       p.path, p.missing, p.attempts, p.settled_at, p.raw_key, p.parent, p.place, p.fragment,
       octet_length(p.body),
       case when p.raw_key = '' then 0 else (
           select count(*) from payload behind
           where behind.system = p.system and behind.raw_key = p.raw_key
             and behind.state = 'received' and behind.id > p.id) end
from payload p
where p.state = %(state)s and p.id < %(before)s and (%(system)s = '' or p.system = %(system)s)
  and (%(missing)s = '' or p.missing = %(missing)s)
  and (%(text)s = '' or strpos(lower(p.reason || ' ' || p.path), lower(%(text)s)) > 0)
order by p.id desc
limit %(limit)s;

-- name: facets
-- How many payloads pass a filter: in all, and by the values of what it may ask for.
with found as (
    select system, missing, reason from payload p
    where p.state = %(state)s and (%(system)s = '' or p.system = %(system)s)
      and (%(missing)s = '' or p.missing = %(missing)s)
      and (%(text)s = '' or strpos(lower(p.reason || ' ' || p.path), lower(%(text)s)) > 0)
)
select '' as facet, '' as value, count(*) from found
union all select 'system', system, count(*) from found group by system
union all select 'missing', missing, count(*) from found group by missing
union all select 'reason', reason, count(*) from found group by reason
order by 1, 3 desc, 2;

-- name: one
-- One payload in any state.
select p.id, p.system, p.door, p.content_type, p.received_at, p.state, p.items_done, p.reason,
       p.path, p.missing, p.attempts, p.settled_at, p.raw_key, p.parent, p.place, p.fragment,
       octet_length(p.body), 0::bigint
from payload p where p.id = %(id)s;

-- name: backlog
-- How many payloads wait to be mapped, and since when the oldest does.
select count(*), min(received_at) from payload where state = 'received';
