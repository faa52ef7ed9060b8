-- The change log as the console shows it.

-- name: rows
-- Lines of the change log in a window below an id, newest first, with these values ('' is any).
select id, changed_at, actor, action, subject, detail
from (select * from change_log where id < %(before)s order by id desc limit %(window)s) newest
where (%(action)s = '' or action = %(action)s)
  and (%(actor)s = '' or actor = %(actor)s)
order by id desc
limit %(limit)s;

-- name: rows_of_subject
-- Lines of one subject below an id, newest first, with these values ('' is any).
select id, changed_at, actor, action, subject, detail
from change_log
where subject = %(subject)s and id < %(before)s
  and (%(action)s = '' or action = %(action)s)
  and (%(actor)s = '' or actor = %(actor)s)
order by id desc
limit %(limit)s;

-- name: bottom
-- The lowest id of the window below an id; null where there is nothing.
select min(id) from (
    select id from change_log where id < %(before)s order by id desc limit %(window)s) seen;

-- name: cube
-- In the newest window, how many lines share action and actor.
select action, actor, count(*)
from (select action, actor from change_log order by id desc limit %(window)s) newest
group by 1, 2;

-- name: cube_of_subject
-- Of one subject, how many lines share action and actor.
select action, actor, count(*)
from (select action, actor from change_log where subject = %(subject)s
      order by id desc limit %(window)s) newest
group by 1, 2;

-- name: mark
-- The newest line.
select max(id) from change_log;
