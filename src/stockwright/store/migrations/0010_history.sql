-- What every rule was, from when to when, who changed it and why; and reading all of it as of then.
--
-- Every transaction that changes a rule is one revision. Triggers keep each row of a table of rules
-- in history.TABLE, from the revision `since` to the one before `until`. The schema past has a view
-- of the same name for each: with the search path on it, the queries of today answer as of then.

create schema history;
create schema past;

-- One transaction that changed rules. content is what the configuration file said, where the
-- revision came from one. subjects are the tables it touched.
create table revision (
    id       bigint primary key,
    at       timestamptz not null default clock_timestamp(),
    actor    text not null,
    reason   text not null default '',
    source   text not null check (source in ('file', 'api', 'console', 'cli', 'import', 'database')),
    subjects text[] not null default '{}',
    content  jsonb
);
create index revision_by_time on revision (at);
create index revision_of_files on revision (id) where content is not null;
insert into revision (id, actor, reason, source)
values (0, 'migration', 'as found when the history of rules began', 'database');

-- This transaction's revision, made at its first change. Numbers have no holes, and their order is
-- that of the commits: whoever makes one holds the lock of the master data ("swmaster").
create function revision_v1() returns bigint
language plpgsql as $$
declare
    own  text := current_setting('stockwright.revision', true);
    made bigint;
begin
    if own <> '' then
        return own::bigint;
    end if;
    perform pg_advisory_xact_lock(8320239101906543986);
    insert into public.revision (id, actor, reason, source)
    select max(id) + 1,
           coalesce(nullif(current_setting('stockwright.actor', true), ''),
                    'database user ' || session_user),
           coalesce(current_setting('stockwright.reason', true), ''),
           coalesce(nullif(current_setting('stockwright.source', true), ''), 'database')
    from public.revision
    returning id into made;
    perform set_config('stockwright.revision', made::text, true);
    return made;
end
$$;

-- The number from which on a change of this transaction holds, by what the table's history goes.
-- 'ledger': for tables that the ledger alone writes, while it holds its lane. A sequence that anybody
-- sees is the last one of a batch, so any number above the batch before will do.
create function history.number_v1(pace text) returns bigint
language sql as $$
    select case when pace = 'revision' then public.revision_v1() else (
        select max(case when xmin = pg_current_xact_id()::xid then sequence else sequence + 1 end)
        from public.ledger_head) end
$$;

-- Notes what a statement did to a table of rules; its arguments are the pace and the keys. A row that
-- was taken away and put back as it was, in one transaction, was never away.
create function history.keep_v1() returns trigger
language plpgsql as $$
declare
    pace    constant text := tg_argv[0];
    kept    constant text := format('history.%I', tg_table_name);
    keys    text;
    columns text;
    number  bigint;
    touched boolean;
begin
    if tg_op = 'INSERT' then
        touched := exists (select from new_rows);
    else
        touched := exists (select from old_rows);
    end if;
    if not touched then
        return null;
    end if;
    select string_agg(format('kept.%1$I = told.%1$I', name), ' and ')
    into keys from unnest(tg_argv[1:]) as name;
    -- Read each time: a column that the history lacks must fail, and not be forgotten.
    select string_agg(format('%I', attname), ', ' order by attnum)
    into columns from pg_attribute where attrelid = tg_relid and attnum > 0 and not attisdropped;
    number := history.number_v1(pace);
    if tg_op <> 'INSERT' then
        execute format('delete from %s kept using old_rows told where %s and kept.since = $1',
                       kept, keys) using number;
        execute format('update %s kept set until = $1 from old_rows told where %s and kept.until is null',
                       kept, keys) using number;
    end if;
    if tg_op <> 'DELETE' then
        execute format('update %s kept set until = null from new_rows told where %s and kept.until = $1
                            and to_jsonb(kept) - ''{since,until}''::text[] = to_jsonb(told)',
                       kept, keys) using number;
        execute format('insert into %1$s (%2$s, since) select %2$s, $1 from new_rows told
                        where not exists (select from %1$s kept where %3$s and kept.until is null)',
                       kept, columns, keys) using number;
    end if;
    if pace = 'revision' then
        update public.revision set subjects = subjects || tg_table_name::text
        where id = number and not subjects @> array[tg_table_name::text];
    end if;
    return null;
end
$$;

-- What is asked of the past, for this transaction: see store/past.py.
create function past.revision_asked() returns bigint stable
language sql as $$ select current_setting('stockwright.past_revision')::bigint $$;
create function past.sequence_asked() returns bigint stable
language sql as $$ select current_setting('stockwright.past_sequence')::bigint $$;
-- Whether the way back from the balances of today is shorter than the way up from nothing; and which
-- entries lie on that way: those above the first number, up to the second.
create function past.is_near() returns boolean stable
language sql as $$ select current_setting('stockwright.past_is_near')::boolean $$;
create function past.way_above() returns bigint stable
language sql as $$ select case when past.is_near() then past.sequence_asked() else 0 end $$;
create function past.way_upto() returns bigint stable
language sql as $$ select case when past.is_near() then 9223372036854775807 else past.sequence_asked() end $$;

-- The clock by which rules are judged: now, and in the past the moment asked for.
create function moment_v1() returns timestamptz
language sql as $$ select clock_timestamp() $$;
create function past.moment_v1() returns timestamptz stable
language sql as $$ select current_setting('stockwright.past_moment')::timestamptz $$;

-- Keeps the history of a table from here on; its rows as they are count as the oldest known. Call it
-- again in the migration that adds columns to the table: older rows take the default of each.
-- pace is 'revision', or 'ledger' for a table that the ledger alone writes.
create function keep_history_v1(subject text, pace text default 'revision') returns void
language plpgsql as $$
declare
    source   constant regclass := format('public.%I', subject)::regclass;
    names    text[];
    keys     text;
    columns  text;
    added    record;
    asked    text := case pace when 'revision' then 'past.revision_asked()'
                               when 'ledger' then 'past.sequence_asked()' end;
begin
    assert asked is not null, 'the pace of a history is revision or ledger';
    select array_agg(a.attname::text order by k.n),
           string_agg(format('%I', a.attname), ', ' order by k.n)
    into names, keys
    from pg_index i
    cross join unnest(i.indkey) with ordinality as k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = source and i.indisprimary;
    if to_regclass(format('history.%I', subject)) is null then
        execute format('create table history.%1$I (like public.%1$I, since bigint not null,
                        until bigint check (until > since), primary key (%2$s, since))', subject, keys);
        execute format('create unique index %1$I on history.%2$I (%3$s) where until is null',
                       subject || '_in_force', subject, keys);
        execute format('insert into history.%1$I select told.*, 0 from public.%1$I told', subject);
        for added in
            select * from (values ('insert', 'new table as new_rows'),
                                  ('update', 'old table as old_rows new table as new_rows'),
                                  ('delete', 'old table as old_rows')) as one (event, rows)
        loop
            execute format('create trigger %I after %s on public.%I referencing %s
                            for each statement execute function history.keep_v1(%L, %s)',
                           'history_of_' || added.event, added.event, subject, added.rows, pace,
                           (select string_agg(quote_literal(name), ', ') from unnest(names) as name));
        end loop;
    end if;
    for added in
        select a.attname, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid) as filling
        from pg_attribute a
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = source and a.attnum > 0 and not a.attisdropped
          and not exists (select from pg_attribute h
                          where h.attrelid = format('history.%I', subject)::regclass
                            and h.attname = a.attname)
        order by a.attnum
    loop
        execute format('alter table history.%I add column %I %s%s%s', subject, added.attname,
                       added.type, ' default ' || added.filling,
                       case when added.attnotnull and added.filling is not null then ' not null' end);
        execute format('alter table history.%I alter column %I drop default', subject, added.attname);
    end loop;
    select string_agg(format('%I', attname), ', ' order by attnum)
    into columns from pg_attribute where attrelid = source and attnum > 0 and not attisdropped;
    execute format('drop view if exists past.%I', subject);
    execute format('create view past.%1$I as select %2$s from history.%1$I
                    where since <= %3$s and (until is null or until > %3$s)', subject, columns, asked);
end
$$;

-- What one revision changed in one table: of each row its key, and what it was before and after.
create function history.changes_v1(subject text, number bigint, most integer)
returns table (key text[], before jsonb, after jsonb) stable
language plpgsql as $$
declare
    keys text;
begin
    select string_agg(format('told.%I::text', a.attname), ', ' order by k.n)
    into keys
    from pg_index i
    cross join unnest(i.indkey) with ordinality as k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = format('public.%I', subject)::regclass and i.indisprimary;
    return query execute format(
        'select key, old.told, new.told
         from (select array[%1$s] as key, to_jsonb(told) - ''{since,until}''::text[] as told
               from history.%2$I told where until = $1) old
         full join (select array[%1$s] as key, to_jsonb(told) - ''{since,until}''::text[] as told
                    from history.%2$I told where since = $1) new using (key)
         order by key limit $2', keys, subject) using number, most;
end
$$;

-- What the rows of one table whose key begins so were, newest first.
create function history.versions_v1(subject text, beginning text[], most integer)
returns table (key text[], since bigint, until bigint, content jsonb) stable
language plpgsql as $$
declare
    keys text;
    same text;
begin
    select string_agg(format('told.%I::text', a.attname), ', ' order by k.n),
           string_agg(format('told.%I::text = $1[%s]', a.attname, k.n), ' and ' order by k.n)
               filter (where k.n <= cardinality(beginning))
    into keys, same
    from pg_index i
    cross join unnest(i.indkey) with ordinality as k (attnum, n)
    join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
    where i.indrelid = format('public.%I', subject)::regclass and i.indisprimary;
    return query execute format(
        'select array[%1$s], told.since, told.until, to_jsonb(told) - ''{since,until}''::text[]
         from history.%2$I told where %3$s
         order by told.since desc, array[%1$s] limit $2', keys, subject, coalesce(same, 'true'))
        using beginning, most;
end
$$;

-- The subjects of the history: every table of rules, of who takes part, and of what is sold.
select keep_history_v1(subject)
from unnest(array['system', 'location', 'location_group', 'authority', 'channel', 'exposure_policy',
                  'sku', 'unit', 'binding', 'kit', 'listing', 'listing_component']) as subject;
create index listing_component_by_sku on history.listing_component (sku);

-- What channel_history knew becomes revisions of their own, older than what was found.
do $$
declare
    old record;
    n bigint := 0;
begin
    if not exists (select from channel_history) then
        return;
    end if;
    update revision set at = (select min(valid_from) from channel_history) where id = 0;
    delete from history.channel where code in (select channel from channel_history);
    delete from history.exposure_policy where channel in (select channel from channel_history);
    for old in select told.*, channel.system, channel.hold_s
               from channel_history told join channel on channel.code = told.channel
               order by told.valid_from, told.channel
    loop
        n := n + 1;
        insert into revision (id, at, actor, source, subjects)
        values (n, old.valid_from, 'migration', 'file', '{channel,exposure_policy}');
        update history.channel set until = n where code = old.channel and until is null;
        update history.exposure_policy set until = n where channel = old.channel and until is null;
        insert into history.channel (code, system, pool, demand_class, allow_split, hold_s, since)
        values (old.channel, old.system, old.pool, old.demand_class, old.allow_split, old.hold_s, n);
        insert into history.exposure_policy (channel, position, sku, sku_group, safety, hard_safety,
            ring_fence, buffer, cap, pack_size, since)
        select old.channel, position, sku, sku_group, safety, hard_safety, ring_fence, buffer, cap,
               pack_size, n
        from jsonb_populate_recordset(null::exposure_policy, old.policies);
    end loop;
    -- The channels that had no history are as they were found; all are in force as they are.
    insert into revision (id, actor, reason, source)
    values (n + 1, 'migration', 'as found when the history of rules began', 'database');
end
$$;
drop table channel_history;

-- ---------------------------------------------------------------- the books as of a sequence

-- A demand line may be heard of before the channel that sold it. From the first sequence after
-- after_sequence on it has its channel, before that it had none.
create table demand_channel (
    line_id        bigint primary key,
    after_sequence bigint not null
);
create function note_demand_channel_v1() returns trigger
language plpgsql as $$
begin
    insert into public.demand_channel (line_id, after_sequence)
    values (new.id, history.number_v1('ledger') - 1)
    on conflict (line_id) do update set after_sequence = excluded.after_sequence;
    -- Its claims use the fence of another channel now, though nothing moved.
    insert into public.dirty (sku, sequence) values (new.sku, 0);
    return null;
end
$$;
create trigger demand_channel_is_known after update of channel on demand_line
for each row when (old.channel is distinct from new.channel) execute function note_demand_channel_v1();

create view past.ledger_head as
select lane, least(sequence, past.sequence_asked()) as sequence from public.ledger_head;

create view past.revision as
select * from public.revision where id <= past.revision_asked();

-- Entries between then and now, taken back, or those up to then; once for each side.
create view past.moved as
select entry.sku, side.location, entry.lot, side.account, entry.line_id, entry.sequence,
       side.sign * case when past.is_near() then -entry.quantity else entry.quantity end as units
from public.entry
cross join lateral (values (entry.to_account, entry.to_location, 1),
                           (entry.from_account, entry.from_location, -1)) as side (account, location, sign)
where entry.sequence > past.way_above() and entry.sequence <= past.way_upto()
  and side.account in ('sellable', 'inspection', 'quarantined', 'damaged', 'reserved', 'allocated',
                       'picked');

-- A place that was not used by then is not there, nor one where all had gone.
create view past.balance as
select sku, location, lot,
       sum(sellable)::bigint as sellable, sum(inspection)::bigint as inspection,
       sum(quarantined)::bigint as quarantined, sum(damaged)::bigint as damaged,
       sum(reserved)::bigint as reserved, sum(allocated)::bigint as allocated,
       sum(picked)::bigint as picked
from (
    select sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked
    from public.balance where past.is_near()
    union all
    select sku, location, lot,
           case account when 'sellable' then units else 0 end,
           case account when 'inspection' then units else 0 end,
           case account when 'quarantined' then units else 0 end,
           case account when 'damaged' then units else 0 end,
           case account when 'reserved' then units else 0 end,
           case account when 'allocated' then units else 0 end,
           case account when 'picked' then units else 0 end
    from past.moved
) booked
group by sku, location, lot
having (sum(sellable), sum(inspection), sum(quarantined), sum(damaged), sum(reserved), sum(allocated),
        sum(picked)) <> (0, 0, 0, 0, 0, 0, 0);

create view past.claim as
select line_id, location, lot, sku,
       sum(reserved)::bigint as reserved, sum(allocated)::bigint as allocated,
       sum(picked)::bigint as picked
from (
    select line_id, location, lot, sku, reserved, allocated, picked
    from public.claim where past.is_near()
    union all
    select line_id, location, lot, sku,
           case account when 'reserved' then units else 0 end,
           case account when 'allocated' then units else 0 end,
           case account when 'picked' then units else 0 end
    from past.moved
    where line_id is not null and account in ('reserved', 'allocated', 'picked')
) claimed
group by line_id, location, lot, sku;

-- Of a demand line what does not change, and its channel and state as they were.
create view past.demand_line as
select line.id, line.system, line.order_ref, line.line, line.sku,
       case when exists (select from public.demand_channel known
                         where known.line_id = line.id and known.after_sequence >= past.sequence_asked())
            then '' else line.channel end as channel,
       (select moved.state from public.transition moved
        where moved.line_id = line.id and moved.sequence <= past.sequence_asked()
        order by moved.n desc limit 1) as state,
       null::timestamptz as expires_at
from public.demand_line line;

-- The revision of the rules a number was computed by; null where that was before there were any.
alter table level_change add column rules bigint;
