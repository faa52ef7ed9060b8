"""JSON as partners write it: what is wrong in one order's note must not hold up all others.

Shops cut texts in the middle of an emoji, pass a line break on as it is, or write NaN; strictly,
none of the answer can be read then. Such characters alone are replaced, once the strict reading
failed: RFC 8259, sections 6 and 7, says what is allowed.
"""

import re
from typing import Any, Final, TypeVar, overload

import msgspec

T = TypeVar("T")

_STRING_OR_NO_NUMBER: Final = re.compile(
    r'(?P<string>"[^"\\]*+(?:\\.[^"\\]*+)*+")|-?(?:NaN|Infinity)', re.DOTALL
)
_IN_STRING: Final = re.compile(
    r"(?P<right>\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"  # a pair
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r'|(?P<escape>\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))'
    r"|(?P<stray>\\)"
    r"|(?P<control>[\x00-\x1f])"
)


@overload
def read_json(body: bytes) -> Any: ...
@overload
def read_json(body: bytes, form: type[T]) -> T: ...
def read_json(body: bytes, form: Any = Any) -> Any:
    """A JSON text as plain values or as a type; half of a surrogate pair is read as U+FFFD.

    Raises msgspec.DecodeError, UnicodeDecodeError or RecursionError, as the strict reading did,
    where more is wrong than characters.
    """
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError:
        raise  # well written, of another form
    except msgspec.DecodeError as strict:
        mended = _mended(body)
        if mended == body:
            raise
        try:
            return msgspec.json.decode(mended, type=form)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            raise strict from None


def _mended(body: bytes) -> bytes:
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return _STRING_OR_NO_NUMBER.sub(_token, text).encode("utf-8", "surrogateescape")


def _token(found: re.Match[str]) -> str:
    string = found["string"]
    # What is no number is told as a text, so that whoever wants a number there names the field.
    return f'"{found[0]}"' if string is None else _IN_STRING.sub(_character, string)


def _character(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "half":
            return "\\ufffd"
        case "stray":
            return "\\\\"
        case "control":
            return f"\\u{ord(found[0]):04x}"
    return found[0]
