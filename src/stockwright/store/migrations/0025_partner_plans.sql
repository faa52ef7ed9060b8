-- Some partners give each operation a plan of its own. Its bucket is shared by all processes.
create table partner_bucket (
    system      text collate "C" not null,
    operation   text collate "C" not null,
    rate        double precision not null check (rate > 0),
    burst       double precision not null check (burst >= 1),
    tokens      double precision not null,
    refilled_at timestamptz not null,
    primary key (system, operation)
) with (fillfactor = 50);
comment on table partner_bucket is 'how many calls of one operation a partner still takes';
comment on column partner_bucket.rate is 'calls per second, as declared or as the partner''s answers tell';
comment on column partner_bucket.tokens is 'calls that could be made at refilled_at; below zero: promised already';
