-- Revisions of the rules: who changed what, when and why.

-- name: said_by
-- Who makes the changes that follow, why, and by which way; for this transaction, or for the session.
select set_config('stockwright.actor', %(actor)s, %(local)s),
       set_config('stockwright.reason', %(reason)s, %(local)s),
       set_config('stockwright.source', %(source)s, %(local)s)

-- name: revision_in_force
-- The newest revision of the rules.
select coalesce(max(id), 0) from revision

-- name: hold_rules
-- Nobody changes rules until this transaction ends.
select pg_advisory_xact_lock_shared(%(lock)s)

-- name: own_revision
-- The revision of this transaction, which is made where nothing changed yet.
select revision_v1()

-- name: keep_content
-- Notes what the configuration file said when this revision was made.
update revision set content = %(content)s::jsonb where id = %(revision)s

-- name: revisions
-- Revisions below an id, newest first; those that touched one of some subjects, or all.
select id, at, actor, reason, source, subjects
from revision
where id < %(before)s and (%(subjects)s::text[] is null or subjects && %(subjects)s::text[]
                           or content is not null)
order by id desc
limit %(limit)s

-- name: revision
-- One revision.
select id, at, actor, reason, source, subjects from revision where id = %(id)s

-- name: last_content
-- What the file said when it was last read in, and which revision that was.
select id, content from revision where content is not null order by id desc limit 1

-- name: subjects
-- The tables of rules that keep a history, by revisions.
select tgrelid::regclass::text from pg_trigger
where tgname = 'history_of_insert' and position('revision'::bytea in tgargs) = 1 order by 1

-- name: changes
-- What one revision changed in one table: (key, before, after), by key.
select key, before, after
from history.changes_v1(%(subject)s::text, %(revision)s::bigint, %(limit)s::integer)

-- name: versions
-- What the rows of one table whose key begins so were, newest first: (key, since, until, row, and the
-- time, actor, reason and source of the revision it holds from).
select told.key, told.since, told.until, told.content, made.at, made.actor, made.reason, made.source
from history.versions_v1(%(subject)s::text, %(beginning)s::text[], %(limit)s::integer) told
join revision made on made.id = told.since
