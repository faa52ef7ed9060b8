-- What the console's lists need: who works on a work item, saved views, and deeds that can be undone.

alter table work_item add column assigned_to text collate "C" not null default '';
create index work_item_open_by_id on work_item (id) where closed_at is null;
create index payload_parked_by_id on payload (id) where state = 'parked';
create index payload_discarded_by_id on payload (id) where state = 'discarded';

-- A list as somebody likes to see it again: a page and its query string, under a name.
create table saved_view (
    owner    text collate "C" not null,
    page     text collate "C" not null,
    name     text not null,
    query    text not null,
    saved_at timestamptz not null default clock_timestamp(),
    primary key (owner, page, name)
);

-- One action of a person on one or many rows: what came of it, and what undoing it needs. undo is
-- null where it cannot be undone.
create table console_deed (
    id        bigint generated always as identity primary key,
    owner     text collate "C" not null,
    action    text not null,
    done_at   timestamptz not null default clock_timestamp(),
    result    jsonb not null,
    undo      jsonb,
    undone_at timestamptz,
    undone    jsonb
);
create index console_deed_by_time on console_deed (done_at);
