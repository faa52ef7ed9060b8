-- What changes by the calendar alone.

-- name: mark_shelf_life
-- Marks the SKUs of lots that had the days a policy asks for when this was done last, and have not
-- today; how many they are.
with last as (
    select day from shelf_life_day where day < %(today)s::date for update
), crossed as (
    select distinct lot.sku
    from last
    cross join (select distinct min_shelf_life_days as days from exposure_policy
                where min_shelf_life_days > 0) asked
    join lot on lot.expires_on >= last.day + asked.days
            and lot.expires_on < %(today)s::date + asked.days
), marked as (
    insert into dirty (sku, sequence) select sku, 0 from crossed returning 1
), done as (
    update shelf_life_day set day = %(today)s::date where day < %(today)s::date
)
select count(*) from marked;
