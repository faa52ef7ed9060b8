-- name: waiting
-- What is still on its way through the hub: payloads to map, SKUs to project, levels to publish.
select
    (select count(*) from payload where state = 'received'),
    (select count(*) from dirty),
    (select count(*) from level where state in ('due', 'sending'))
