-- Exposure policies that are tried before they hold.

-- name: forget_old
-- Forgets trials that are long past, at most a hundred at once.
delete from policy_trial where id in (
    select id from policy_trial where made_at < clock_timestamp() - interval '30 days' limit 100);

-- name: make
-- Keeps rules to be tried; answers the trial's id.
insert into policy_trial (channel, owner, revision, rules, reason)
values (%(channel)s, %(owner)s, %(revision)s, %(rules)s, %(reason)s)
returning id;

-- name: trial
-- One trial.
select id, channel, owner, made_at, revision, rules, reason, applied from policy_trial where id = %(id)s;

-- name: runs
-- What is computed for a trial.
select kind, state, asked_at, beat_at, seen, result, error from policy_trial_run where trial = %(id)s;

-- name: newest
-- The newest trials of a channel, without their rules.
select id, channel, owner, made_at, revision, '[]'::jsonb, reason, applied
from policy_trial where channel = %(channel)s order by id desc limit %(limit)s;

-- name: mark_applied
-- Notes which revision a trial's rules became, and why.
update policy_trial set applied = %(revision)s, reason = %(reason)s where id = %(id)s;

-- name: count_open
-- How many computations wait or are under way.
select count(*) from policy_trial_run where state in ('waiting', 'running');

-- name: ask
-- Asks for a computation anew, unless it waits or is under way.
insert into policy_trial_run (trial, kind) values (%(trial)s, %(kind)s)
on conflict (trial, kind) do update set
    state = 'waiting', attempts = 0, asked_at = clock_timestamp(), beat_at = null, seen = 0,
    result = null, error = ''
where policy_trial_run.state not in ('waiting', 'running');

-- name: take
-- Takes the computation that waits longest, or one that nobody carries on any more, for whoever asks.
update policy_trial_run run
set state = 'running', attempts = attempts + 1, beat_at = clock_timestamp(), seen = 0
from policy_trial trial
where trial.id = run.trial
  and (run.trial, run.kind) = (
    select open.trial, open.kind from policy_trial_run open
    where open.state = 'waiting'
       or (open.state = 'running' and open.beat_at < clock_timestamp() - make_interval(secs => %(quiet_s)s))
    order by open.asked_at
    limit 1
    for update skip locked)
returning run.trial, run.kind, run.attempts, trial.channel, trial.rules;

-- name: beat
-- Says that a computation goes on; one row while it is wanted and still ours.
update policy_trial_run set beat_at = clock_timestamp(), seen = %(seen)s
where trial = %(trial)s and kind = %(kind)s and state = 'running' and attempts = %(attempt)s
returning 1;

-- name: finish
-- Keeps what a computation found, or why it failed.
update policy_trial_run
set state = %(state)s, beat_at = clock_timestamp(), result = %(result)s, error = %(error)s
where trial = %(trial)s and kind = %(kind)s and state = 'running' and attempts = %(attempt)s;

-- name: stop
-- Stops a computation that waits or is under way.
update policy_trial_run set state = 'stopped'
where trial = %(trial)s and kind = %(kind)s and state in ('waiting', 'running');
