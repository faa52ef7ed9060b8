-- What people keep at their desk: saved views, and deeds that can be undone.

-- name: save_view
-- Keeps a view under a name, in place of one of the same name.
insert into saved_view (owner, page, name, query)
values (%(owner)s, %(page)s, %(name)s, %(query)s)
on conflict (owner, page, name) do update
set query = excluded.query, saved_at = clock_timestamp();

-- name: count_views
-- How many views somebody has saved of a page.
select count(*) from saved_view where owner = %(owner)s and page = %(page)s;

-- name: drop_view
-- Forgets a view; answers one row where there was one.
delete from saved_view where owner = %(owner)s and page = %(page)s and name = %(name)s returning 1;

-- name: views
-- Somebody's views of a page, by name.
select name, query from saved_view where owner = %(owner)s and page = %(page)s order by name;

-- name: note_deed
-- Keeps what somebody did and what undoing it needs; answers its id.
insert into console_deed (owner, action, result, undo)
values (%(owner)s, %(action)s, %(result)s, %(undo)s)
returning id;

-- name: deed
-- One deed of somebody: action, when, its result, whether it can be undone still, and its undoing.
select id, action, done_at, result,
       undo is not null and undone_at is null
       and done_at > clock_timestamp() - make_interval(secs => %(undo_s)s),
       undone_at, undone
from console_deed where id = %(id)s and owner = %(owner)s;

-- name: take_undo
-- Takes what undoing a deed needs, once; nothing where it is too late or was undone before.
update console_deed set undone_at = clock_timestamp()
where id = %(id)s and owner = %(owner)s and undo is not null and undone_at is null
  and done_at > clock_timestamp() - make_interval(secs => %(undo_s)s)
returning action, undo;

-- name: note_undone
-- Keeps what came of undoing a deed.
update console_deed set undone = %(undone)s where id = %(id)s;

-- name: forget_old
-- Forgets deeds that are long past, at most a thousand at once.
delete from console_deed where id in (
    select id from console_deed where done_at < clock_timestamp() - interval '30 days' limit 1000);
