-- Subscriptions of outside consumers: what they are told, where, and how far each has come.

-- name: add
-- Adds a subscription; its id, nothing where the name is taken.
insert into subscription (name, via, url, system, subject, filters, batch, created_by)
values (%(name)s, %(via)s, %(url)s, %(system)s, %(subject)s, %(filters)s, %(batch)s, %(actor)s)
on conflict (name) do nothing
returning id;

-- name: begin
-- Sets where a new subscription begins.
insert into subscription_progress (subscription, sequence, place)
values (%(id)s, %(sequence)s, %(place)s);

-- name: page
-- Subscriptions behind a name, in order of name, or the one of a name; how far each has come.
select s.id, s.name, s.via, s.url, s.system, s.subject, s.filters, s.batch, s.created_at, s.created_by,
       s.paused_at, s.paused_by, s.paused_why,
       p.sequence, p.place, p.failures, p.failing_since, p.due_at, p.last_error, p.delivered,
       p.delivered_at,
       greatest(0, head.sequence - p.sequence) + greatest(0, head.place - p.place),
       least((select event.recorded_at from event
              where event.sequence > p.sequence order by event.sequence limit 1),
             (select change.projected_at from level_change change
              where change.position > p.place order by change.position limit 1)),
       array(select secret.added_at from subscription_secret secret
             where secret.subscription = s.id and (secret.expires_at > clock_timestamp()) is not false
             order by secret.id),
       array(select secret.expires_at from subscription_secret secret
             where secret.subscription = s.id and (secret.expires_at > clock_timestamp()) is not false
             order by secret.id)
from subscription s
join subscription_progress p on p.subscription = s.id,
     (select coalesce((select sequence from ledger_head where lane = 0), 0) as sequence,
             coalesce((select max(position) from level_change), 0) as place) head
where s.name > %(after)s and (%(name)s = '' or s.name = %(name)s)
order by s.name limit %(limit)s;

-- name: secrets
-- What a subscription's webhooks are signed with now, the newest first.
select secret from subscription_secret
where subscription = %(id)s and (expires_at > clock_timestamp()) is not false
order by id desc;

-- name: add_secret
-- Gives a subscription one more secret.
insert into subscription_secret (subscription, secret) values (%(id)s, %(secret)s);

-- name: retire_secrets
-- Lets the secrets that have no end end after so many seconds, and removes those that have ended.
with ended as (
    delete from subscription_secret where subscription = %(id)s and expires_at <= clock_timestamp()
)
update subscription_secret
set expires_at = least(expires_at, clock_timestamp() + %(overlap_s)s * interval '1 second')
where subscription = %(id)s and (expires_at > clock_timestamp()) is not false;

-- name: pause
-- Stops a subscription; answers one row where it was not stopped.
update subscription set paused_at = clock_timestamp(), paused_by = %(actor)s, paused_why = %(why)s
where id = %(id)s and paused_at is null returning id;

-- name: resume
-- Lets a subscription go on; answers one row where it was stopped.
update subscription set paused_at = null, paused_by = '', paused_why = ''
where id = %(id)s and paused_at is not null returning id;

-- name: try_now
-- Forgets the failures so far: the next try is due now.
update subscription_progress
set failures = 0, failing_since = null, last_error = '', due_at = clock_timestamp()
where subscription = %(id)s;

-- name: replay
-- Sets a subscription back, or on, to a position. What is under way moves it no more.
update subscription_progress
set sequence = %(sequence)s, place = %(place)s, to_sequence = null, to_place = null, turn = turn + 1,
    failures = 0, failing_since = null, last_error = '', due_at = clock_timestamp(),
    lease_until = null, leased_by = ''
where subscription = %(id)s;

-- name: delete
-- Removes a subscription with its secrets and its position.
delete from subscription where id = %(id)s;

-- name: place_before
-- The place of the last change of a level that stands in front of an event.
select coalesce((select position from level_change where after_sequence < %(sequence)s
                 order by position desc limit 1), 0);

-- name: claim
-- Takes subscriptions that have something to be told, those that wait longest first, until the lease
-- ends; of queues only those of these systems. Nobody else gets them meanwhile.
with head as (
    select coalesce((select sequence from ledger_head where lane = 0), 0) as sequence,
           coalesce((select max(position) from level_change), 0) as place
), free as (
    select p.subscription
    from subscription_progress p
    join subscription s on s.id = p.subscription
    cross join head
    where s.paused_at is null and p.due_at <= clock_timestamp()
      and (p.lease_until is null or p.lease_until < clock_timestamp())
      and (p.sequence < head.sequence or p.place < head.place)
      and (s.via = 'webhook' or s.system = any (%(systems)s::text[]))
    order by p.due_at, p.subscription
    limit %(limit)s
    for update of p skip locked
)
update subscription_progress p
set lease_until = clock_timestamp() + %(lease_s)s * interval '1 second', leased_by = %(holder)s
from free join subscription s on s.id = free.subscription
where p.subscription = free.subscription
returning p.subscription, s.name, s.via, s.url, s.system, s.subject, s.filters, s.batch,
          p.sequence, p.place, p.to_sequence, p.to_place, p.turn, p.failures;

-- name: fix_end
-- Fixes the end of the message that is about to be sent; answers one row for the lease's holder.
update subscription_progress
set to_sequence = %(sequence)s, to_place = %(place)s,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
where subscription = %(id)s and leased_by = %(holder)s and turn = %(turn)s
returning subscription;

-- name: advance
-- Moves a subscription on behind what its consumer said yes to; whether it goes on, nothing where the
-- lease was lost or the subscription was set to another position.
update subscription_progress p
set sequence = %(sequence)s, place = %(place)s, to_sequence = null, to_place = null,
    failures = 0, failing_since = null, last_error = '', due_at = clock_timestamp(),
    delivered = p.delivered + %(count)s,
    delivered_at = case when %(count)s > 0 then clock_timestamp() else p.delivered_at end,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
from subscription s
where p.subscription = %(id)s and p.leased_by = %(holder)s and p.turn = %(turn)s and s.id = p.subscription
returning s.paused_at is null;

-- name: failed
-- Notes why a message was not taken and when it is tried again; since when it fails, and the time now.
update subscription_progress
set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
    last_error = %(error)s, due_at = clock_timestamp() + %(retry_s)s * interval '1 second',
    lease_until = null
where subscription = %(id)s and leased_by = %(holder)s and turn = %(turn)s
returning failing_since, clock_timestamp();

-- name: release
-- Gives a subscription back to whoever delivers it next.
update subscription_progress set lease_until = null
where subscription = %(id)s and leased_by = %(holder)s;

-- name: open_item
-- Asks a person to look at a subscription that was stopped; one open item per cause.
insert into work_item (kind, subject, system, detail)
values ('subscription_stopped', %(subject)s, %(system)s, %(detail)s)
on conflict (kind, subject) where closed_at is null
do update set seen = work_item.seen + 1, last_seen_at = clock_timestamp(), detail = excluded.detail;

-- name: close_items
-- Closes what is open about a subscription.
update work_item
set closed_at = clock_timestamp(), closed_by = %(actor)s, closed_why = %(why)s
where kind = 'subscription_stopped' and closed_at is null and detail ->> 'subscription' = %(name)s;

-- name: lags
-- How many changes each subscription has not looked at, and the age of the oldest of them in seconds.
select s.name, greatest(0, head.sequence - p.sequence) + greatest(0, head.place - p.place),
       coalesce(extract(epoch from clock_timestamp() - least(
           (select event.recorded_at from event
            where event.sequence > p.sequence order by event.sequence limit 1),
           (select change.projected_at from level_change change
            where change.position > p.place order by change.position limit 1))), 0)::float8
from subscription s
join subscription_progress p on p.subscription = s.id,
     (select coalesce((select sequence from ledger_head where lane = 0), 0) as sequence,
             coalesce((select max(position) from level_change), 0) as place) head;

-- name: note_attempt
-- Keeps what became of a message, of the newest hundred of each subscription.
with old as (
    delete from subscription_attempt
    where subscription = %(id)s
      and id <= (select id from subscription_attempt where subscription = %(id)s order by id desc offset 99 limit 1)
)
insert into subscription_attempt (subscription, took_ms, changes, outcome, error)
select id, %(took_ms)s, %(changes)s, %(outcome)s, %(error)s from subscription where id = %(id)s;

-- name: attempts
-- The newest messages to a consumer: (at, milliseconds, changes, outcome, error).
select at, took_ms, changes, outcome, error from subscription_attempt
where subscription = %(id)s order by id desc limit %(limit)s;

-- name: mark
-- Changes whenever a page about subscriptions may have.
select (select coalesce(max(id), 0) from subscription_attempt),
       (select coalesce(sum(turn), 0) from subscription_progress),
       (select count(*) from subscription),
       (select count(*) from subscription where paused_at is not null),
       (select count(*) from subscription_secret);
