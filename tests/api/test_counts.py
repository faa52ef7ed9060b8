"""POST /v1/counts: a sheet's silence means zero only where the sheet covers the whole place."""

from uuid import uuid4


def sheet(house, lines, **more):
    body = {
        "system": "erp", "document": uuid4().hex, "location": "second",
        "as_of": "2026-11-01T12:00:00Z", "lines": lines,
    }  # fmt: skip
    return house.admin.post("/v1/counts", body | more)


def sellable(house, sku):
    ((units,),) = house.sql(
        "SELECT coalesce(sum(sellable), 0)::bigint FROM balance "
        "WHERE sku = %s AND location = 'second'",
        sku,
    )
    return units


def stock(house, sku, units):
    fact = {
        "kind": "receipt", "system": "erp", "document": uuid4().hex, "sku": sku,
        "quantity": units, "location": "second", "occurred_at": "2026-10-01T12:00:00Z",
    }  # fmt: skip
    assert house.admin.post("/v1/events", fact).status == 200


def test_a_listed_sheet_leaves_what_it_does_not_name(house, new_sku):
    named, silent = new_sku(), new_sku()
    stock(house, named, 5)
    stock(house, silent, 5)
    answer = sheet(house, [{"sku": named, "quantity": 3}])
    assert answer.status == 207
    assert answer.json["results"][0]["answer"] == {"difference": -2}
    assert (sellable(house, named), sellable(house, silent)) == (3, 5)


def test_a_full_sheet_counts_as_zero_what_it_does_not_name(house, new_sku):
    named, silent = new_sku(), new_sku()
    stock(house, named, 5)
    stock(house, silent, 5)
    assert sheet(house, [{"sku": named, "quantity": 3}], scope="full").status == 207
    assert (sellable(house, named), sellable(house, silent)) == (3, 0)


def test_an_empty_full_sheet_is_refused_and_empties_nothing(house, new_sku):
    sku = new_sku()
    stock(house, sku, 5)
    answer = sheet(house, [], scope="full")
    assert (answer.status, answer.json["param"]) == (422, "lines")
    assert sellable(house, sku) == 5


def test_a_cell_that_stands_twice_is_refused_by_its_line(house, new_sku):
    sku = new_sku()
    answer = sheet(house, [{"sku": sku, "quantity": 3}, {"sku": sku, "quantity": 4}])
    assert (answer.status, answer.json["param"]) == (422, "lines[1]")


def test_goods_that_came_after_the_count_are_not_counted_away(house, new_sku):
    sku = new_sku()
    house.receive(sku, 7, location="second")
    other = new_sku()
    stock(house, other, 1)
    assert sheet(house, [{"sku": other, "quantity": 1}], scope="full").status == 207
    assert sellable(house, sku) == 7


def test_the_same_sheet_again_is_answered_as_the_first_time(house, new_sku):
    sku = new_sku()
    stock(house, sku, 5)
    document = uuid4().hex
    lines = [{"sku": sku, "quantity": 3}]
    sheet(house, lines, document=document)
    again = sheet(house, lines, document=document)
    assert again.json["results"][0]["replay"] is True
    assert sellable(house, sku) == 3
