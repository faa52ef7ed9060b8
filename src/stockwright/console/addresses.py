"""What an address names, and whether its `.json` twin is asked for."""

from typing import Final

from starlette.requests import Request

from stockwright.domain.errors import Rejected

MOST: Final = 512


def number_in(request: Request, name: str) -> tuple[int, bool]:
    """The number an address names, and whether its twin is asked for. Raises Rejected."""
    text = str(request.path_params[name])
    plain = text.removesuffix(".json")
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 18):
        raise Rejected("not_found", name, "There is no such number. Go back to the list.")
    return int(plain), plain != text


def code_in(request: Request, name: str) -> tuple[str, bool]:
    """The code an address names, in its path or else its query, and whether its twin is asked for.

    Raises Rejected.
    """
    named = request.path_params.get(name)
    if named is None:
        named, as_json = request.query_params.get(name, ""), request.url.path.endswith(".json")
    else:
        named, as_json = named.removesuffix(".json"), named.endswith(".json")
    return checked_code(named, name), as_json


def checked_code(text: str, name: str) -> str:
    """A code as an address or a form gives it. Raises Rejected where it can be none."""
    if "\x00" in text or len(text) > MOST:
        message = f"The {name} has no NUL character and at most {MOST} others."
        raise Rejected("malformed", name, message)
    return text
