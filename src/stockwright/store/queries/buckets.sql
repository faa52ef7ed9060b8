-- name: lock
-- The bucket of an operation, locked; nothing where none was made yet.
select rate, burst, tokens, extract(epoch from refilled_at)::float8
from partner_bucket where system = %(system)s and operation = %(operation)s
for update;

-- name: clock
-- The database's clock, read after the lock was had.
select extract(epoch from clock_timestamp())::float8;

-- name: make
-- The first state of a bucket; changes nothing where another was faster.
insert into partner_bucket (system, operation, rate, burst, tokens, refilled_at)
values (%(system)s, %(operation)s, %(rate)s, %(burst)s, %(tokens)s, to_timestamp(%(at)s))
on conflict do nothing;

-- name: write
-- The next state of a bucket that is locked.
update partner_bucket
set rate = %(rate)s, burst = %(burst)s, tokens = %(tokens)s, refilled_at = to_timestamp(%(at)s)
where system = %(system)s and operation = %(operation)s;
