-- A job settles a level where all else in doubt was over when the job was handed over.
alter table level add column job_last boolean not null default false;
comment on column level.job_last is 'nothing else in doubt could be applied any more when the job was handed over';
