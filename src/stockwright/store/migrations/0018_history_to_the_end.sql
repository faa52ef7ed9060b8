-- The history of rules, to the end of each transaction: a revision counts from its commit on, in the
-- order of the numbers even where the clock went back; and a table that is emptied is no gap.

-- A revision is made at the first change of its transaction, which may go on for minutes, while
-- everybody else still sees the rules before it. Its time is the last thing that is set.
create function revision_ends_v1() returns trigger
language plpgsql as $$
begin
    update public.revision
    set at = greatest(clock_timestamp(), (select before.at from public.revision before
                                          where before.id < new.id order by before.id desc limit 1))
    where id = new.id;
    return null;
end
$$;
create constraint trigger revision_ends after insert on revision
deferrable initially deferred
for each row execute function revision_ends_v1();

-- All rows of a table went at once, which no trigger for rows is told.
create function history.emptied_v1() returns trigger
language plpgsql as $$
declare
    pace   constant text := tg_argv[0];
    kept   constant text := format('history.%I', tg_table_name);
    number bigint;
    lost   boolean;
begin
    execute format('select exists (select from %s where until is null)', kept) into lost;
    if not lost then
        return null;
    end if;
    number := history.number_v1(pace);
    execute format('delete from %s where since = $1', kept) using number;
    execute format('update %s set until = $1 where until is null', kept) using number;
    if pace = 'revision' then
        update public.revision set subjects = subjects || tg_table_name::text
        where id = number and not subjects @> array[tg_table_name::text];
    end if;
    return null;
end
$$;

alter function keep_history_v1(text, text) rename to keep_changes_v1;
comment on function keep_changes_v1(text, text) is 'part of keep_history_v1';

-- Keeps the history of a table from here on; its rows as they are count as the oldest known. Call it
-- again in the migration that adds columns to the table: older rows take the default of each.
-- pace is 'revision', or 'ledger' for a table that the ledger alone writes.
create function keep_history_v1(subject text, pace text default 'revision') returns void
language plpgsql as $$
begin
    perform public.keep_changes_v1(subject, pace);
    execute format('create or replace trigger history_of_truncate after truncate on public.%I
                    for each statement execute function history.emptied_v1(%L)', subject, pace);
end
$$;

do $$
declare
    kept record;
begin
    for kept in
        select tgrelid::regclass::text as subject,
               case when encode(tgargs, 'escape') like 'ledger%' then 'ledger' else 'revision' end as pace
        from pg_trigger where tgname = 'history_of_insert'
    loop
        perform keep_history_v1(kept.subject, kept.pace);
    end loop;
end
$$;

-- The same answer as before, sooner: what moved alike is added up before it is booked on both sides.
create or replace view past.balance as
select sku, location, lot,
       sum(sellable)::bigint as sellable, sum(inspection)::bigint as inspection,
       sum(quarantined)::bigint as quarantined, sum(damaged)::bigint as damaged,
       sum(reserved)::bigint as reserved, sum(allocated)::bigint as allocated,
       sum(picked)::bigint as picked
from (
    select sku, location, lot, sellable, inspection, quarantined, damaged, reserved, allocated, picked
    from public.balance where past.is_near()
    union all
    select alike.sku, side.location, alike.lot,
           case side.account when 'sellable' then units else 0 end,
           case side.account when 'inspection' then units else 0 end,
           case side.account when 'quarantined' then units else 0 end,
           case side.account when 'damaged' then units else 0 end,
           case side.account when 'reserved' then units else 0 end,
           case side.account when 'allocated' then units else 0 end,
           case side.account when 'picked' then units else 0 end
    from (
        select sku, lot, to_account, to_location, from_account, from_location,
               case when past.is_near() then -sum(quantity) else sum(quantity) end::bigint as moved
        from public.entry
        where sequence > past.way_above() and sequence <= past.way_upto()
        group by sku, lot, to_account, to_location, from_account, from_location
    ) alike
    cross join lateral (
        values (alike.to_account, alike.to_location, alike.moved),
               (alike.from_account, alike.from_location, -alike.moved)
    ) as side (account, location, units)
    where side.account in ('sellable', 'inspection', 'quarantined', 'damaged', 'reserved',
                           'allocated', 'picked')
) booked
group by sku, location, lot
having (sum(sellable), sum(inspection), sum(quarantined), sum(damaged), sum(reserved), sum(allocated),
        sum(picked)) <> (0, 0, 0, 0, 0, 0, 0);
