"""Users of a test's console: made at a small cost, signed in over HTTP as a browser does."""

import html
import re
from typing import Any
from urllib.parse import urlencode

from stockwright.store import users
from stockwright.store.connection import connect
from tests.console.serving import Answer, Served

PASSWORD = "blue lamp under stairs"


def add_user(url: str, name: str = "ada", role: str = "viewer", **options) -> str:
    with connect(url) as connection:
        return users.add_user(connection, name, role, PASSWORD, **options)


class Browser:
    """One person's browser: keeps cookies, fills in forms, follows nothing."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.cookies: dict[str, str] = {}

    def send(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        if self.cookies:
            headers["cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        answer = self.served.send(method, path, body, **headers)
        self.cookies.update(answer.cookies)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def token(self, page: str = "/account") -> str:
        """The token that the forms of a page carry."""
        found = re.search(r'name="form_token" value="([^"]*)"', self.get(page).text)
        assert found is not None
        return html.unescape(found[1])

    def post(self, path: str, fields: Any = None, **headers: str) -> Answer:
        """A form of ours, sent."""
        given = list(fields.items()) if isinstance(fields, dict) else list(fields or [])
        body = urlencode([*given, ("form_token", self.token())])
        return self.send("POST", path, body, **headers)

    def sign_in(self, name: str = "ada", password: str = PASSWORD, **headers: str) -> Answer:
        token = self.token("/console/sign-in")
        body = urlencode({"form_token": token, "name": name, "password": password})
        return self.send("POST", "/console/sign-in", body, **headers)


def signed_in(served: Served, name: str = "ada", password: str = PASSWORD) -> Browser:
    browser = Browser(served)
    answer = browser.sign_in(name, password)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    return browser
