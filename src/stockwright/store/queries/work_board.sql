-- The work list as the console shows it: filtered, counted, and decided in bulk.

-- name: rows
-- Work items below an id, newest first, of a state ('open', 'closed') and these values ('' is any).
select id, kind, subject, sku, location, system, detail, sequence, opened_at, seen, last_seen_at,
       closed_at, closed_by, closed_why, assigned_to
from work_item
where id < %(before)s
  and (closed_at is null) = (%(state)s = 'open')
  and (%(kind)s = '' or kind = %(kind)s)
  and (%(system)s = '' or system = %(system)s)
  and (%(sku)s = '' or sku = %(sku)s)
  and (%(assigned)s = '' or assigned_to = case %(assigned)s when 'nobody' then '' else %(assigned)s end)
  and opened_at <= %(now)s - make_interval(secs => %(age_low)s)
  and opened_at > %(now)s - make_interval(secs => least(%(age_high)s, 3e9))
order by id desc
limit %(limit)s;

-- name: open_rows
-- The same among open items alone, in the words of their index.
select id, kind, subject, sku, location, system, detail, sequence, opened_at, seen, last_seen_at,
       closed_at, closed_by, closed_why, assigned_to
from work_item
where id < %(before)s
  and closed_at is null
  and (%(kind)s = '' or kind = %(kind)s)
  and (%(system)s = '' or system = %(system)s)
  and (%(sku)s = '' or sku = %(sku)s)
  and (%(assigned)s = '' or assigned_to = case %(assigned)s when 'nobody' then '' else %(assigned)s end)
  and opened_at <= %(now)s - make_interval(secs => %(age_low)s)
  and opened_at > %(now)s - make_interval(secs => least(%(age_high)s, 3e9))
order by id desc
limit %(limit)s;

-- name: open_cube
-- Of the newest open items, how many share kind, system, age and who has them.
select kind, system,
       case when opened_at > %(now)s - interval '1 hour' then 'under an hour'
            when opened_at > %(now)s - interval '1 day' then 'under a day'
            when opened_at > %(now)s - interval '7 days' then 'under a week'
            else 'older' end,
       case assigned_to when '' then 'nobody' else assigned_to end,
       count(*)
from (select kind, system, opened_at, assigned_to from work_item
      where closed_at is null and (%(sku)s = '' or sku = %(sku)s)
      order by id desc limit %(limit)s) newest
group by 1, 2, 3, 4;

-- name: closed_cube
-- The same of the newest closed items.
select kind, system,
       case when opened_at > %(now)s - interval '1 hour' then 'under an hour'
            when opened_at > %(now)s - interval '1 day' then 'under a day'
            when opened_at > %(now)s - interval '7 days' then 'under a week'
            else 'older' end,
       case assigned_to when '' then 'nobody' else assigned_to end,
       count(*)
from (select kind, system, opened_at, assigned_to from work_item
      where closed_at is not null and (%(sku)s = '' or sku = %(sku)s)
      order by id desc limit %(limit)s) newest
group by 1, 2, 3, 4;

-- name: of_ids
-- These work items, newest first.
select id, kind, subject, sku, location, system, detail, sequence, opened_at, seen, last_seen_at,
       closed_at, closed_by, closed_why, assigned_to
from work_item where id = any(%(ids)s::bigint[]) order by id desc;

-- name: close_many
-- Closes those of these work items that are open; answers each with when.
update work_item set closed_at = clock_timestamp(), closed_by = %(actor)s, closed_why = %(why)s
where id = any(%(ids)s::bigint[]) and closed_at is null
returning id, closed_at;

-- name: reopen_many
-- Opens closed work items again, as far as they are still closed by this person at that time, and
-- their cause did not come up anew; answers them.
update work_item w set closed_at = null, closed_by = '', closed_why = ''
from unnest(%(ids)s::bigint[], %(times)s::timestamptz[]) as deed (id, at)
where w.id = deed.id and w.closed_at = deed.at and w.closed_by = %(actor)s
  and not exists (select from work_item other
                  where other.kind = w.kind and other.subject = w.subject
                    and other.closed_at is null)
returning w.id;

-- name: assign_many
-- Gives open work items to somebody ('' for nobody), if so asked only where one person has them;
-- answers each with who had it before.
update work_item w set assigned_to = %(to)s
from (select id, assigned_to from work_item
      where id = any(%(ids)s::bigint[]) for update) old
where w.id = old.id and w.closed_at is null and old.assigned_to <> %(to)s
  and (%(held_by)s::text is null or old.assigned_to = %(held_by)s)
returning w.id, old.assigned_to;

-- name: assignable
-- Whom work can be given to: users who may decide.
select name from app_user
where disabled_at is null and role in ('operator', 'admin') order by name limit 500;

-- name: log_many
-- Notes one change of many subjects.
insert into change_log (actor, action, subject, detail)
select %(actor)s, %(action)s, subject, %(detail)s::jsonb
from unnest(%(subjects)s::text[]) as given (subject);

-- name: mark
-- Changes whenever the list may have: the newest item, and how many are open.
select (select max(id) from work_item),
       (select count(*) from (select from work_item where closed_at is null limit 10000) open_ones),
       (select max(closed_at) from (select closed_at from work_item order by id desc limit 1000) newest);
