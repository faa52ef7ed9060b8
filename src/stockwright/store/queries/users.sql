-- Named users and their settings.

-- name: add_user
-- Adds a user; answers one row, or none where the name is taken.
insert into app_user (name, role, password, must_change, created_by)
values (%(name)s, %(role)s, %(password)s, %(must_change)s, %(actor)s)
on conflict (name) do nothing
returning id;

-- name: users
-- Every user by name, with how many sessions stand open.
select u.id, u.name, u.role, u.must_change, u.created_at, u.created_by, u.disabled_at,
       u.signed_in_at,
       (select count(*) from console_session s
        where s.user_id = u.id
          and s.seen_at > clock_timestamp() - make_interval(secs => %(idle_s)s)
          and s.opened_at > clock_timestamp() - make_interval(secs => %(longest_s)s))
from app_user u order by u.name;

-- name: password_of
-- The id and kept password of a user who is not disabled.
select id, password from app_user where name = %(name)s and disabled_at is null;

-- name: any_user
-- Whether anybody can sign in at all.
select exists (select from app_user where disabled_at is null and password <> '');

-- name: other_admins
-- How many others can still administer.
select count(*) from app_user
where role = 'admin' and disabled_at is null and name <> %(name)s;

-- name: lock_users
-- Waits for whoever changes roles at the moment, so that the last admin stays.
select count(*) from (select from app_user order by id for update) locked;

-- name: set_password
-- Gives a user a new password, if so asked only in place of a certain one; answers its id.
update app_user set password = %(password)s, must_change = %(must_change)s
where name = %(name)s and (%(instead_of)s::text is null or password = %(instead_of)s)
returning id;

-- name: set_role
-- Gives a user another role; answers the role before, or nothing where it was the same.
update app_user u set role = %(role)s
from (select id, role from app_user where name = %(name)s) old
where u.id = old.id and old.role <> %(role)s
returning old.role;

-- name: set_disabled
-- Disables a user, or enables one again; answers its id where that changed anything.
update app_user
set disabled_at = case when %(disabled)s then clock_timestamp() end
where name = %(name)s and (disabled_at is null) = %(disabled)s
returning id;

-- name: exists
-- One row where there is a user of this name.
select 1 from app_user where name = %(name)s;

-- name: end_sessions
-- Ends every session of a user, or all but one.
delete from console_session using app_user u
where console_session.user_id = u.id and u.name = %(name)s
  and (%(but)s::bigint is null or console_session.id <> %(but)s);

-- name: forget_failures
-- Forgets failed attempts on an account.
delete from sign_in_failure where account = %(account)s;

-- name: settings
-- What a person set: time zone and theme.
select time_zone, theme from console_setting where owner = %(owner)s;

-- name: keep_settings
-- Keeps what a person set.
insert into console_setting (owner, time_zone, theme)
values (%(owner)s, %(time_zone)s, %(theme)s)
on conflict (owner) do update set time_zone = excluded.time_zone, theme = excluded.theme;
