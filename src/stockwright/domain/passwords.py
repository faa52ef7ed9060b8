"""Passwords: what one must be, how it is kept, and whether another text is the same.

Kept as `scrypt$LOG2N$R$P$SALT$HASH` (RFC 7914), so that each password says how dear it is to guess
and is hashed anew when the cost rises. The cost is one of those OWASP's Password Storage Cheat
Sheet names: 32 MiB and three passes. Length counts, composition does not (NIST SP 800-63B).
"""

import base64
import hashlib
import hmac
import re
import unicodedata
from typing import Final, NamedTuple

from stockwright.domain.errors import Rejected

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
_HASH_BYTES: Final = 32


class Cost(NamedTuple):
    """What one hash costs: 128 * 2**log2_n * r bytes of memory, p passes."""

    log2_n: int
    r: int
    p: int


COST: Final = Cost(log2_n=15, r=8, p=3)
"""What a password is hashed with today."""

_WORDS: Final = """
    123456 password qwerty letmein welcome admin administrator iloveyou monkey dragon football
    baseball sunshine princess superman batman trustno1 master hello freedom whatever shadow
    michael jordan jennifer michelle charlie ashley daniel andrew thomas jessica pepper ginger
    summer winter spring autumn january february march april june july august september october
    november december monday friday sunday secret changeme changeit default guest root toor test
    tester testing temp temporary access login logmein passwort kennwort hallo willkommen geheim
    schatz contraseña motdepasse azerty qwertz asdfgh zxcvbn qazwsx 1q2w3e4r 1qaz2wsx abc123 abcdef
    mustang starwars computer internet samsung google facebook linkedin office company business
    inventory warehouse stock stockwright supervisor operator viewer manager server database
    postgres oracle passw0rd p@ssw0rd p@ssword pa55word cheese killer soccer hockey tigger buster
    correcthorsebatterystaple
    """
WORST: Final = frozenset(_WORDS.split())
"""Words that guessers try first, with whatever digits and signs around them."""

_EDGES: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_RUNS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
)


def check(password: str, name: str = "") -> None:
    """Raises Rejected where a password is not good enough for this user, and says why."""
    reason = _weakness(unicodedata.normalize("NFKC", password), name)
    if reason:
        raise Rejected("malformed", "password", reason)


def _weakness(password: str, name: str) -> str:
    if len(password) < MIN_LENGTH:
        return f"Use at least {MIN_LENGTH} characters; a few words in a row are easy to remember."
    if len(password) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH} characters."
    if not password.isprintable():
        return "Use characters that can be typed again: one of these is invisible."
    lowered = password.lower()
    core = _EDGES.sub("", lowered)
    if lowered in WORST or core in WORST or _repeats(lowered):
        return "This is among the passwords that are guessed first. Use a few words of your own."
    if len(set(lowered)) < 5 or _is_run(lowered):
        return "This is a simple sequence, which is guessed first. Use a few words of your own."
    if len(name) > 2 and name.lower() in lowered and len(lowered) - len(name) < 8:
        return "This is hardly more than the user's name. Use a few words of your own."
    return ""


def _repeats(text: str) -> bool:
    """Whether it is one of the worst words several times over."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)] and text[:size] in WORST
        for size in range(4, len(text) // 2 + 1)
    )


def _is_run(text: str) -> bool:
    """Whether it goes along the alphabet, the digits or a row of keys, forwards or backwards."""
    return any(text in run * 4 or text in run[::-1] * 4 for run in _RUNS)


def hashed(password: str, salt: bytes, cost: Cost | None = None) -> str:
    """What is kept of a password. `salt` is 16 random bytes, new for each."""
    cost = cost or COST
    return "$".join(
        ("scrypt", *(str(part) for part in cost), _text(salt), _text(_hash(password, salt, cost)))
    )


def matches(password: str, kept: str) -> bool:
    """Whether this is the password; takes as long for a wrong one. No text matches an empty one."""
    cost, salt, expected = _parts(kept or NOBODY)
    found = hmac.compare_digest(_hash(password, salt, cost), expected)
    return found and bool(kept)


def same(one: str, other: str) -> bool:
    """Whether two texts are the same password, in whichever way their letters were typed."""
    return unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other)


def outdated(kept: str) -> bool:
    """Whether a password was hashed at another cost than today's."""
    return _parts(kept)[0] != COST


def _hash(password: str, salt: bytes, cost: Cost) -> bytes:
    memory = 128 * cost.r * (2**cost.log2_n + cost.p + 2)
    return hashlib.scrypt(
        # Two keyboards may write one letter in two ways.
        unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass"),
        salt=salt,
        n=2**cost.log2_n,
        r=cost.r,
        p=cost.p,
        maxmem=2 * memory,
        dklen=_HASH_BYTES,
    )


def _parts(kept: str) -> tuple[Cost, bytes, bytes]:
    _, log2_n, r, p, salt, expected = kept.split("$")
    return Cost(int(log2_n), int(r), int(p)), _bytes(salt), _bytes(expected)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)


NOBODY: Final = "$".join(
    ("scrypt", *(str(part) for part in COST), _text(bytes(16)), _text(bytes(_HASH_BYTES)))
)
"""Stands in for a user that does not exist, so that guessing names takes as long as passwords."""
