-- name: waiting
-- Whether anything is on its way through the hub: payloads to map, SKUs to project, levels to
-- publish. Asked many times a second, so each part stops at its first row.
select
    exists (select from payload where state = 'received'),
    exists (select from dirty),
    exists (select from level where state = 'due') or exists (select from level where state = 'sending')
