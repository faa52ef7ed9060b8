-- Where a partner works on jobs that only the process that made them knows, one process at a time
-- publishes: this one, until that time or until it is gone.
alter table connection_state
    add column holder     text not null default '',
    add column held_until timestamptz;
comment on column connection_state.holder is 'the worker that publishes alone, where only one at a time may';
