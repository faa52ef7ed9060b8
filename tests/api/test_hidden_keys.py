"""A consumer's or partner's key in an address stays out of every place that people read."""

from tests.api.test_call_log import written

KEY = "k3y-of-theirs-4711"
ADDRESSES = [
    f"https://user:{KEY}@plan.example/h",
    f"https://user:p@{KEY}@plan.example/h",
    f"https://{KEY}@plan.example/h",
    f"http://plan.example/h?{KEY}",
    f"http://plan.example/h?a=1&access_token={KEY}&b=2",
    f"ftp://plan.example/h?code={KEY}",
    f"https://plan.example/h?key=1#{KEY}",
    f"http://10.0.0.1/h?sig={KEY}",
]
TORN = [
    f'{{"name": "plan", "url": "https://plan.example/h\\u003f{KEY}"',
    f'{{"name": "plan", "url": "https:\\/\\/plan.example\\/h?{KEY}", "batch": "many"}}',
    f'{{"name": "plan", "url": "https://plan.example/h\\u003f{KEY}", "batch": "many"}}',
    f'{{"name": "plan", "uri": "https://plan.example/h?x={KEY}"}}',
]
SETTINGS = [
    {"base_url": f"https://user:{KEY}@shop.example"},
    {"base_url": f"https://shop.example/api?token={KEY}"},
    {"base_url": f"https://shop.example/api?key={KEY}"},
    {"base_url": "https://shop.example", "webhook_secrets": [KEY]},
    {"base_url": "https://shop.example", "token": KEY},
]


def everything(house) -> str:
    tables = ("api_call", "change_log", "work_item", "idempotency", "poll_cursor", "revision")
    return "\n".join(
        text for table in tables for (text,) in house.sql(f"select one::text from {table} one")
    )


def test_what_failed_to_be_added_leaves_no_key_anywhere(house):
    json = {"content-type": "application/json"}
    answers = [
        house.admin.post("/v1/subscriptions", {"name": "plan", "url": url}) for url in ADDRESSES
    ]
    answers += [house.admin.call("POST", "/v1/subscriptions", body.encode(), json) for body in TORN]
    shop = {"system": "newshop", "connector": "json_http", "role": "shop", "reason": "try"}
    answers += [
        house.admin.post("/v1/connections", shop | {"settings": settings}) for settings in SETTINGS
    ]
    answers.append(house.admin.get(f"/v1/items?q=https://plan.example/h?{KEY}&limit=many"))
    assert [answer.status for answer in answers if answer.status not in (400, 422)] == []
    assert [answer.body for answer in answers if KEY.encode() in answer.body] == []
    kept = [written(house, answer) for answer in answers]
    assert None not in kept
    assert all("plan.example" in call.body for call in kept[:7]), "the rest of it is kept"
    assert KEY not in everything(house)
