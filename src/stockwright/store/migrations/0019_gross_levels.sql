-- Partners that subtract their own open orders from the number they are given take it gross.

-- What the system's connector declared when it was last opened.
alter table system add column levels_are text not null default 'net'
    check (levels_are in ('net', 'gross'));
select keep_history_v1('system');

-- Of a demand line what does not change, and its channel, state and shelf life as they were. What was
-- asked to be cancelled then is not remembered.
drop view past.demand_line;
create view past.demand_line as
select line.id, line.system, line.order_ref, line.line, line.sku,
       case when exists (select from public.demand_channel known
                         where known.line_id = line.id and known.after_sequence >= past.sequence_asked())
            then '' else line.channel end as channel,
       (select moved.state from public.transition moved
        where moved.line_id = line.id and moved.sequence <= past.sequence_asked()
        order by moved.n desc limit 1) as state,
       null::timestamptz as expires_at,
       case when later.line_id is null then line.fresh_until else later.fresh_until end as fresh_until,
       0::bigint as cancel_requested
from public.demand_line line
left join lateral (
    select noted.line_id, noted.fresh_until from public.demand_freshness noted
    where noted.line_id = line.id and noted.after_sequence >= past.sequence_asked()
    order by noted.after_sequence limit 1
) later on true;
