-- The log of calls to the API: written in batches, pruned, and shown.

-- name: keep
-- Keeps one call; written twice it stands once.
insert into api_call (request_id, at, kept, method, route, address, status, caller, peer, took_ms,
    bytes_in, bytes_out, items, refused, code, param, problem, refusals, sequences, body, body_note)
values (%(request_id)s, %(at)s, %(kept)s, %(method)s, %(route)s, %(address)s, %(status)s, %(caller)s,
    %(peer)s, %(took_ms)s, %(bytes_in)s, %(bytes_out)s, %(items)s, %(refused)s, %(code)s, %(param)s,
    %(problem)s, %(refusals)s, %(sequences)s, %(body)s, %(body_note)s)
on conflict (request_id) do nothing;

-- name: count
-- How many calls of a kind this process answered in an hour, as it stands.
insert into api_call_count (worker, hour, method, route, status, calls)
values (%(worker)s, %(hour)s, %(method)s, %(route)s, %(status)s, %(calls)s)
on conflict (hour, worker, route, method, status) do update set calls = excluded.calls;

-- name: prune_old
-- Removes calls that are too old, at most `limit`.
delete from api_call where id in (
    select id from api_call where at < clock_timestamp() - make_interval(days => %(days)s)
    order by at limit %(limit)s);

-- name: prune_many
-- Removes the first calls beyond the newest `rows`, at most `limit`.
delete from api_call where id in (
    select id from api_call where id <= (select max(id) from api_call) - %(rows)s
    order by id limit %(limit)s);

-- name: prune_counts
-- Removes counts of hours that are too old, at most `limit`.
delete from api_call_count where (hour, worker, route, method, status) in (
    select hour, worker, route, method, status from api_call_count
    where hour < clock_timestamp() - make_interval(days => %(days)s)
    order by hour limit %(limit)s);

-- name: rows
-- Calls in a window below an id, newest first, with these values ('' is any).
select c.id, c.request_id, c.at, c.kept, c.method, c.route, c.address, c.status, c.caller,
       coalesce(k.name, ''), c.took_ms, c.bytes_in, c.items, c.refused, c.code, c.param
from (select * from api_call where id < %(before)s order by id desc limit %(window)s) c
left join api_key k on c.caller = 'key ' || k.id
where (%(kept)s = '' or c.kept = %(kept)s)
  and (%(call)s = '' or c.method || ' ' || c.route = %(call)s)
  and (%(status)s = '' or c.status::text = %(status)s)
  and (%(code)s = '' or c.code = %(code)s)
  and (%(caller)s = '' or c.caller = %(caller)s)
order by c.id desc
limit %(limit)s;

-- name: rows_of_request
-- The call of one request id.
select c.id, c.request_id, c.at, c.kept, c.method, c.route, c.address, c.status, c.caller,
       coalesce(k.name, ''), c.took_ms, c.bytes_in, c.items, c.refused, c.code, c.param
from api_call c
left join api_key k on c.caller = 'key ' || k.id
where c.request_id = %(request)s and c.id < %(before)s;

-- name: bottom
-- The lowest id of the window below an id; null where there is nothing.
select min(id) from (
    select id from api_call where id < %(before)s order by id desc limit %(window)s) seen;

-- name: cube
-- In the newest window, how many calls share why they are kept, call, status, error and caller.
select kept, method || ' ' || route, status::text, code, caller, count(*)
from (select kept, method, route, status, code, caller from api_call
      order by id desc limit %(window)s) newest
group by 1, 2, 3, 4, 5;

-- name: cube_of_request
-- The call of one request id as a cube of its own.
select kept, method || ' ' || route, status::text, code, caller, 1
from api_call where request_id = %(request)s;

-- name: mark
-- The newest call.
select max(id) from api_call;

-- name: one
-- One call with all that was kept of it.
select c.id, c.request_id, c.at, c.kept, c.method, c.route, c.address, c.status, c.caller,
       coalesce(k.name, ''), c.took_ms, c.bytes_in, c.items, c.refused, c.code, c.param,
       c.peer, c.bytes_out, c.problem, c.refusals, c.sequences, c.body, c.body_note
from api_call c
left join api_key k on c.caller = 'key ' || k.id
where c.id = %(id)s;

-- name: counted
-- All calls of the last hours, those that were refused, failed here, and answered well; kept or not.
select coalesce(sum(calls), 0)::bigint,
       coalesce(sum(calls) filter (where status between 400 and 499), 0)::bigint,
       coalesce(sum(calls) filter (where status >= 500), 0)::bigint
from api_call_count
where hour > date_trunc('hour', clock_timestamp()) - make_interval(hours => %(hours)s);
