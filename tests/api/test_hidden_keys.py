"""A consumer's or partner's key in an address stays out of every place that people read."""

import msgspec
import pytest

from tests.api.conftest import Client
from tests.api.test_call_log import written

KEY = "k3y-of-theirs-4711"
WRONG = [
    f"https://user:{KEY}@plan.example/h",
    f"https://user:p@{KEY}@plan.example/h",
    f"https://{KEY}@plan.example/h",
    f"http://plan.example/h?{KEY}",
    f"http://plan.example/h?a=1&access_token={KEY}&b=2",
    f"ftp://plan.example/h?code={KEY}",
    f"https://plan.example/h?key={KEY}#part",
    f"http://10.0.0.1/h?sig={KEY}",
]


def everything(house) -> str:
    tables = ("api_call", "change_log", "work_item", "idempotency", "poll_cursor", "revision")
    return "\n".join(
        text for table in tables for (text,) in house.sql(f"select one::text from {table} one")
    )


@pytest.mark.parametrize("url", WRONG)
def test_a_failed_subscription_leaves_no_key_anywhere(house, url):
    answer = house.admin.post("/v1/subscriptions", {"name": "plan", "url": url})
    assert answer.status == 422
    assert KEY.encode() not in answer.body
    call = written(house, answer)
    assert call is not None
    assert "plan.example" in call.body or "10.0.0.1" in call.body, "the rest of it is kept"
    assert KEY not in everything(house)


@pytest.mark.parametrize(
    "body",
    [
        f'{{"name": "plan", "url": "https://plan.example/h\\u003f{KEY}"',
        f'{{"name": "plan", "url": "https:\\/\\/plan.example\\/h?{KEY}", "batch": "many"}}',
        f'{{"name": "plan", "url": "https://plan.example/h\\u003f{KEY}", "batch": "many"}}',
        f'{{"name": "plan", "uri": "https://plan.example/h?x={KEY}"}}',
    ],
)
def test_a_body_that_cannot_be_read_leaves_none_either(house, body):
    headers = {"content-type": "application/json"}
    answer = house.admin.call("POST", "/v1/subscriptions", body.encode(), headers)
    assert answer.status in (400, 422)
    assert KEY.encode() not in answer.body
    assert written(house, answer) is not None
    assert KEY not in everything(house)


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": f"https://user:{KEY}@shop.example"},
        {"base_url": f"https://shop.example/api?token={KEY}"},
        {"base_url": f"https://shop.example/api?key={KEY}"},
        {"base_url": "https://shop.example", "webhook_secrets": [KEY]},
        {"base_url": "https://shop.example", "token": KEY},
    ],
)
def test_a_failed_connection_leaves_no_key_anywhere(house, settings):
    ask = {"system": "newshop", "connector": "json_http", "settings": settings, "reason": "try"}
    answer = house.admin.post("/v1/connections", ask | {"role": "shop"})
    assert answer.status == 422
    assert KEY.encode() not in answer.body
    assert written(house, answer) is not None
    assert KEY not in everything(house)


def test_a_key_in_an_address_that_is_asked_for_is_hidden_too(house):
    key = house.key("stock:read")
    caller = Client(house.web.port, key.key)
    answer = caller.get(f"/v1/items?q=https://plan.example/h?{KEY}&limit=many")
    assert answer.status == 422
    assert KEY not in written(house, answer).address
    assert msgspec.json.decode(answer.body)["status"] == 422
