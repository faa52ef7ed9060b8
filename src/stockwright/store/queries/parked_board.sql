-- Parked payloads as the console shows them: filtered, counted, resumed and set aside in bulk.

-- name: rows
-- Parked payloads below an id, newest first, with these values ('' is any). subject is the kind of
-- code that is missing, 'nothing' where none is.
select p.id, p.system, p.door, p.content_type, p.received_at, p.state, p.items_done, p.reason,
       p.path, p.missing, p.attempts, p.settled_at, p.raw_key, p.parent, p.place, p.fragment,
       octet_length(p.body),
       case when p.raw_key = '' then 0 else (
           select count(*) from payload behind
           where behind.system = p.system and behind.raw_key = p.raw_key
             and behind.state = 'received' and behind.id > p.id) end
from payload p
where p.state = 'parked' and p.id < %(before)s
  and (%(system)s = '' or p.system = %(system)s)
  and (%(missing)s = '' or p.missing = %(missing)s)
  and (%(subject)s = ''
       or case p.missing when '' then 'nothing' else split_part(p.missing, ':', 1) end = %(subject)s)
  and p.received_at <= %(now)s - make_interval(secs => %(age_low)s)
  and p.received_at > %(now)s - make_interval(secs => least(%(age_high)s, 3e9))
order by p.id desc
limit %(limit)s;

-- name: discarded_rows
-- Payloads that people set aside, below an id, newest first, of a system ('' is any).
select p.id, p.system, p.door, p.content_type, p.received_at, p.state, p.items_done, p.reason,
       p.path, p.missing, p.attempts, p.settled_at, p.raw_key, p.parent, p.place, p.fragment,
       octet_length(p.body), 0::bigint
from payload p
where p.state = 'discarded' and p.id < %(before)s
  and (%(system)s = '' or p.system = %(system)s)
order by p.id desc
limit %(limit)s;

-- name: cube
-- Of the newest parked payloads, how many share system, kind of missing code and age.
select system,
       case missing when '' then 'nothing' else split_part(missing, ':', 1) end,
       case when received_at > %(now)s - interval '1 hour' then 'under an hour'
            when received_at > %(now)s - interval '1 day' then 'under a day'
            when received_at > %(now)s - interval '7 days' then 'under a week'
            else 'older' end,
       count(*)
from (select system, missing, received_at from payload
      where state = 'parked' and (%(missing)s = '' or missing = %(missing)s)
      order by id desc limit %(limit)s) newest
group by 1, 2, 3;

-- name: of_ids
-- These payloads, newest first.
select p.id, p.system, p.door, p.content_type, p.received_at, p.state, p.items_done, p.reason,
       p.path, p.missing, p.attempts, p.settled_at, p.raw_key, p.parent, p.place, p.fragment,
       octet_length(p.body), 0::bigint
from payload p where p.id = any(%(ids)s::bigint[]) order by p.id desc;

-- name: resume_many
-- Sends those of these that are parked to work again; answers them.
update payload
set state = 'received', settled_at = null, attempts = 0, lease_until = null
where id = any(%(ids)s::bigint[]) and state = 'parked'
returning id;

-- name: discard_many
-- Sets those of these aside that are parked; answers each with its reason before, and when.
update payload p
set state = 'discarded', reason = left(p.reason || %(why)s, 2000), settled_at = clock_timestamp()
from (select id, reason from payload
      where id = any(%(ids)s::bigint[]) and state = 'parked' for update) old
where p.id = old.id
returning p.id, old.reason, p.settled_at;

-- name: restore_many
-- Parks payloads again that are still set aside since these times, with the reasons they had; answers
-- them.
update payload p set state = 'parked', reason = old.reason
from unnest(%(ids)s::bigint[], %(reasons)s::text[], %(times)s::timestamptz[]) as old (id, reason, at)
where p.id = old.id and p.state = 'discarded' and p.settled_at = old.at
returning p.id;

-- name: missing_same
-- How many parked payloads of a system miss a code.
select count(*) from (
    select from payload
    where state = 'parked' and system = %(system)s and missing = %(missing)s limit 100000
) waiting;

-- name: mark
-- Changes whenever the list may have: the newest parked payload and how many are parked.
select (select max(id) from payload where state = 'parked'),
       (select count(*) from (select from payload where state = 'parked' limit 10000) waiting);
