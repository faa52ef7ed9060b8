-- Standing at an earlier moment: where the ledger and the rules were, and the way there.

-- name: moment
-- The last sequence and the last revision of the rules that there were at a time.
select coalesce((select last_sequence from batch where recorded_at <= %(at)s
                 order by recorded_at desc, last_sequence desc limit 1), 0),
       coalesce((select max(id) from revision where at <= %(at)s), 0)

-- name: visit
-- From here on, in this transaction, the tables are what they were; the search path until now.
-- The way back from today is taken where it is shorter than the way up from the first entry. Queries are
-- planned for the moment that is asked for: a plan for yesterday is wrong for last month.
select current_setting('search_path'), current_setting('plan_cache_mode'),
       set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('stockwright.past_moment', %(at)s::timestamptz::text, true),
       set_config('stockwright.past_sequence', %(sequence)s::bigint::text, true),
       set_config('stockwright.past_revision', %(revision)s::bigint::text, true),
       set_config('stockwright.past_is_near', (
           select (coalesce(max(sequence), 0) <= 2 * %(sequence)s::bigint)::text from ledger_head
       ), true),
       set_config('search_path', 'past', true)

-- name: leave
-- Back to the present.
select set_config('search_path', %(path)s, true), set_config('plan_cache_mode', %(plans)s, true)

-- name: levels_then
-- The number that each of these listings was last meant to show at a time, and what its channel had
-- acknowledged by then: (channel, listing, value, version, since_sequence, sequence, rules,
-- projected_at, acknowledged, acknowledged_version, acknowledged_at), by key.
-- What reflects a sequence was computed after that was recorded, and versions only rise: both bound
-- what is looked at.
with head as (
    select coalesce((select last_sequence from batch where recorded_at <= %(at)s
                     order by recorded_at desc, last_sequence desc limit 1), 0) as sequence
)
select asked.channel, asked.listing, told.value, told.version, told.since_sequence, told.sequence,
       told.rules, told.projected_at, taken.value, taken.version, taken.finished_at
from head, unnest(%(channels)s::text[], %(listings)s::text[]) as asked (channel, listing)
cross join lateral (
    select value, version, since_sequence, sequence, rules, projected_at
    from level_change
    where channel = asked.channel and listing = asked.listing and location = ''
      and sequence <= head.sequence and projected_at <= %(at)s
    order by sequence desc, version desc limit 1
) told
cross join lateral (
    select coalesce((
        select version from level_change
        where channel = asked.channel and listing = asked.listing and location = ''
          and (sequence, version) > (told.sequence, told.version)
        order by sequence, version limit 1), 9223372036854775807) as version
) next
left join lateral (
    select value, version, finished_at
    from attempt
    where channel = asked.channel and listing = asked.listing and location = ''
      and outcome = 'acknowledged' and finished_at <= %(at)s and version < next.version
    order by version desc limit 1
) taken on true
order by asked.channel, asked.listing

-- name: attempts_of
-- The calls that carried one number of a listing, or the first newer one that took its place:
-- (call, version, value, started_at, finished_at, outcome, detail), oldest first.
select call, version, value, started_at, finished_at, outcome, detail
from attempt
where channel = %(channel)s and listing = %(listing)s and location = ''
  and version = (
      select min(version) from attempt
      where channel = %(channel)s and listing = %(listing)s and location = ''
        and version >= %(version)s)
order by call
limit 100
