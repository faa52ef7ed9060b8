-- name: out
-- How the levels of every channel do, by channel. The lags are those of the acknowledgements of the
-- last %(window_s)s seconds among the newest %(samples)s attempts; a level's version is the time of
-- its change in milliseconds. What is only sent again is neither late nor a measure of lag.
-- %(channel)s limits it to one channel; '' asks for all.
with waiting as (
    select channel, count(*) as levels,
           min(waiting_since) filter (where not (resend and acknowledged = desired)
                                         or acknowledged is null) as oldest_at,
           count(*) filter (where resend and acknowledged = desired) as resending,
           count(*) filter (where state = 'due' and due_at <= now()) as ready,
           bool_or(state = 'sending' and lease_until > now()) as leased
    from (select * from level where state = 'due'
          union all
          select * from level where state = 'sending') open_levels
    group by channel
), refused as (
    select channel, count(*) as levels from level where state = 'refused' group by channel
), newest as (
    select channel, version, outcome, started_at, finished_at, resent, detail
    from attempt order by call desc, n desc limit %(samples)s
), active as (
    select channel, max(started_at) as last_at from newest group by channel
), tried as (
    select distinct on (channel) channel, outcome, detail
    from newest where finished_at is not null order by channel, finished_at desc
), lag as (
    select channel, count(*) as samples,
           percentile_cont(array[0.5, 0.99]) within group (
               order by greatest(extract(epoch from finished_at) - version / 1000.0, 0)) as s
    from newest
    where outcome = 'acknowledged' and not resent
      and finished_at > now() - make_interval(secs => %(window_s)s)
    group by channel
)
select 'out', c.system, c.code, s.connector, s.criticality, s.latency_budget_s::float8,
       stop.channel is not null or coalesce(n.paused, false) or step.system is not null,
       coalesce(stop.paused_by, p.actor, step.actor, ''),
       coalesce(stop.paused_at, p.changed_at, step.since),
       coalesce(n.failures, 0), n.retry_at, n.last_success, n.last_failure,
       coalesce(n.last_error, ''),
       coalesce(w.levels, 0), coalesce(w.ready, 0), w.oldest_at, coalesce(w.leased, false),
       coalesce(n.tokens < 1 and n.refilled_at > now() - interval '5 s', false),
       coalesce(r.levels, 0), 0::bigint,
       coalesce(a.last_at, n.last_success),
       null::timestamptz, lag.s[1], lag.s[2], coalesce(lag.samples, 0), n.heartbeat,
       coalesce(stop.why, case step.stage when 'shadow' then 'its connection is in shadow'
                                          when 'added' then 'its connection is not live yet' end, ''),
       coalesce(w.resending, 0),
       case when t.outcome in ('retry', 'doubtful') then left(t.detail, 200) else '' end
from channel c
join system s on s.code = c.system
left join connection_state n on n.system = c.system
left join channel_pause stop on stop.channel = c.code
left join connecting step on step.system = c.system and step.stage <> 'live'
left join waiting w on w.channel = c.code
left join refused r on r.channel = c.code
left join active a on a.channel = c.code
left join lag on lag.channel = c.code
left join tried t on t.channel = c.code
left join lateral (
    select actor, changed_at from change_log
    where n.paused and subject = c.system and action = 'connection.pause' order by id desc limit 1
) p on true
where %(channel)s = '' or c.code = %(channel)s
order by c.code;

-- name: in
-- How the messages of every system come in, by system. Activity is that of the newest
-- %(samples)s events.
with open_payloads as (
    select system, count(*) as payloads, min(received_at) as oldest_at,
           bool_or(lease_until > now()) as leased
    from payload where state = 'received' group by system
), parked as (
    select system, count(*) as payloads from payload where state = 'parked' group by system
), active as (
    select system, max(received_at) as last_at
    from (select system, received_at from event
          order by sequence desc limit %(samples)s) newest
    group by system
)
select 'in', s.code, '', s.connector, s.criticality, s.latency_budget_s::float8,
       coalesce(n.paused, false), coalesce(u.actor, ''), u.changed_at,
       coalesce(c.failures, 0), case when c.failures > 0 then c.due_at end,
       greatest(c.last_success_at, a.last_at), c.last_error_at, coalesce(c.last_error, ''),
       coalesce(w.payloads, 0), coalesce(w.payloads, 0), w.oldest_at, coalesce(w.leased, false),
       false, 0::bigint, coalesce(p.payloads, 0), a.last_at,
       c.due_at, null::float8, null::float8, 0, null::timestamptz, '', 0::bigint, ''
from system s
left join poll_cursor c on c.connection = s.code
left join connection_state n on n.system = s.code
left join active a on a.system = s.code
left join open_payloads w on w.system = s.code
left join parked p on p.system = s.code
left join lateral (
    select actor, changed_at from change_log
    where n.paused and subject = s.code and action = 'connection.pause' order by id desc limit 1
) u on true
order by s.code;

-- name: totals
-- The hub as a whole: (ledger sequence, last recorded_at, events a second over the last
-- %(window_s)s seconds, SKUs waiting for the projection, since when, open work items, parked
-- payloads, SKUs, locations, channels).
select h.sequence,
       nullif(h.recorded_at, '-infinity'),
       coalesce((select sum(last_sequence - first_sequence + 1) from batch
                 where recorded_at > now() - make_interval(secs => %(window_s)s)), 0)::float8
           / %(window_s)s,
       d.waiting, d.oldest_at,
       (select count(*) from work_item where closed_at is null),
       (select count(*) from payload where state = 'parked'),
       (select count(*) from sku where active),
       (select count(*) from location),
       (select count(*) from channel)
from ledger_head h,
     (select count(*) as waiting, min(marked_at) as oldest_at
      from (select marked_at from dirty limit 100000) newest) d
where h.lane = 0;

-- name: work_by_kind
-- Open work items by kind, most first: (kind, items, opened_at of the oldest).
select kind, count(*), min(opened_at)
from work_item where closed_at is null
group by kind order by count(*) desc, kind;
