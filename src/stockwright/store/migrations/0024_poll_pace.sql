-- Each partner is asked at its own pace, and one that keeps us waiting for our turn is not failing.
alter table poll_cursor
    add column every_s    double precision not null default 10 check (every_s >= 0),
    add column held_until timestamptz;
comment on column poll_cursor.every_s is 'the pause after a complete poll';
comment on column poll_cursor.held_until is 'the partner''s plan has no call for us before';
