"""POST /v1/policies/preview and POST /v1/heartbeat."""


def listed(house, new_sku, units: int) -> str:
    sku = str(new_sku())
    house.receive(sku, units)
    body = {"components": [{"sku": sku, "quantity": 1}]}
    assert house.admin.put(f"/v1/listings/web/{sku}", body).status == 201
    return sku


def rules(sku: str, **fields):
    return {"channels": {"web": [{"sku": sku, **fields}]}}


def test_a_preview_tells_what_would_change_and_changes_nothing(house, new_sku):
    sku = listed(house, new_sku, 40)
    reader = house.client("stock:read")
    answer = reader.post("/v1/policies/preview", rules(sku, buffer_percent=25))
    assert answer.status == 200, answer
    (effect,) = answer.json["items"]
    assert (effect["listing"], effect["now"], effect["then"]) == (sku, 40, 30)
    assert effect["why_then"]["steps"][-1]["name"] == "buffer"
    assert (answer.json["changed"], answer.json["next_cursor"]) == (1, None)
    assert house.sql("select count(*) from exposure_policy") == [(0,)]


def test_a_preview_comes_in_pages(house, new_sku):
    skus = [listed(house, new_sku, units) for units in (10, 20, 30)]
    ask = {"channels": {"web": [{"sku": sku, "cap": 0} for sku in skus]}, "limit": 2}
    first = house.admin.post("/v1/policies/preview", ask).json
    assert [one["change"] for one in first["items"]] == [-30, -20]
    rest = house.admin.post("/v1/policies/preview", ask | {"cursor": first["next_cursor"]}).json
    assert [one["change"] for one in rest["items"]] == [-10]
    assert rest["next_cursor"] is None


def test_what_is_wrong_with_a_set_is_said(house):
    unknown = house.admin.post("/v1/policies/preview", {"channels": {"wep": []}})
    assert (unknown.status, unknown.json["param"]) == (422, "channels.wep")
    mistyped = house.admin.post("/v1/policies/preview", {"channels": {"web": [{"bufer": 1}]}})
    assert mistyped.status == 422
    assert "bufer" in mistyped.json["detail"]
    cursor = house.admin.post("/v1/policies/preview", {"channels": {}, "cursor": "nonsense"})
    assert (cursor.status, cursor.json["param"]) == (422, "cursor")
    assert house.client("events:write").post("/v1/policies/preview", {}).status == 403


def test_a_system_says_that_it_is_alive(house):
    shop = house.client("events:write", system="shop")
    answer = shop.post("/v1/heartbeat", {})
    assert answer.status == 200
    assert answer.json["system"] == "shop"
    ((seen_at,),) = house.sql("select seen_at from heartbeat where system = 'shop'")
    assert seen_at is not None
    assert shop.post("/v1/heartbeat", {"system": "erp"}).status == 403
    anyone = house.client("events:write")
    assert anyone.post("/v1/heartbeat", {"system": "erp"}).status == 200
    assert (anyone.post("/v1/heartbeat", {}).json["param"]) == "system"
    assert anyone.post("/v1/heartbeat", {"system": "nobody"}).status == 404
