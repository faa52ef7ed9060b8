-- What the console shows of calls to the API: kept ones, and how many there were of all.

-- A call that failed, was slow, or is in the sample. Written in batches after the answers, so id is
-- not quite the order of time. address holds path and query; body, problem and address are freed of
-- secrets before they are written. refusals: the first items that were refused, as they were answered.
-- sequences: the first events that the call recorded, or repeated. kept says why the row is here.
create table api_call (
    id         bigint generated always as identity primary key,
    request_id text collate "C" not null unique,
    at         timestamptz not null,
    kept       text collate "C" not null check (kept in ('failed', 'refused', 'slow', 'sample')),
    method     text collate "C" not null,
    route      text collate "C" not null,
    address    text not null,
    status     smallint not null,
    caller     text collate "C" not null default '',
    peer       text collate "C" not null default '',
    took_ms    double precision not null check (took_ms >= 0),
    bytes_in   bigint not null check (bytes_in >= 0),
    bytes_out  bigint not null check (bytes_out >= 0),
    items      integer not null check (items >= 0),
    refused    integer not null check (refused between 0 and items),
    code       text collate "C" not null default '',
    param      text not null default '',
    problem    jsonb,
    refusals   jsonb not null default '[]',
    sequences  bigint[] not null default '{}',
    body       text,
    body_note  text not null default ''
);
create index api_call_by_time on api_call (at);

-- How many calls a process answered in an hour, all of them counted. A row only grows, and is
-- written as it stands: written twice it is the same.
create table api_call_count (
    worker text collate "C" not null,
    hour   timestamptz not null,
    method text collate "C" not null,
    route  text collate "C" not null,
    status smallint not null,
    calls  bigint not null check (calls > 0),
    primary key (hour, worker, route, method, status)
) with (fillfactor = 50);
