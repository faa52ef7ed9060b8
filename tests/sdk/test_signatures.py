"""Webhooks proven by an HMAC: any of several secrets, the raw body, and nothing else."""

import pytest

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.sdk.secrets import Secret
from stockwright.sdk.signatures import prove, signature_of

OLD, NEW = Secret("old"), Secret("new")
BODY = b'{"id": 1}'


@pytest.mark.parametrize(
    ("form", "known"),
    [
        ("base64", "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg="),
        (
            "hex",
            "f7bc83f430538424b13298e6aa6fb143ef4d59a149461759 97479dbc2d1a3cd8".replace(" ", ""),
        ),
    ],
)
def test_it_is_the_hmac_everybody_computes(form, known):
    """HMAC-SHA256 of "The quick brown fox jumps over the lazy dog" under "key"."""
    text = b"The quick brown fox jumps over the lazy dog"
    assert signature_of(text, Secret("key"), form) == known
    prove({"X-Sig": known}, text, [Secret("key")], name="x-sig", form=form)


def test_each_of_several_secrets_proves_it():
    for secret in (OLD, NEW):
        headers = {"X-Shop-Hmac": signature_of(BODY, secret)}
        prove(headers, BODY, [NEW, OLD], name="X-Shop-HMAC")


@pytest.mark.parametrize("given", ["", "x", "=", "ä", signature_of(BODY, Secret("other"))])
def test_anything_else_is_refused(given):
    with pytest.raises(Rejected) as told:
        prove({"x-sig": given}, BODY, [NEW], name="x-sig")
    assert told.value.reason == "signature"


def test_another_body_is_refused_and_so_is_a_missing_prefix():
    headers = {"x-sig": "sha256=" + signature_of(BODY, NEW, "hex")}
    prove(headers, BODY, [NEW], name="x-sig", form="hex", prefix="sha256=")
    with pytest.raises(Rejected):
        prove(headers, BODY + b" ", [NEW], name="x-sig", form="hex", prefix="sha256=")
    with pytest.raises(Rejected):
        prove(headers, BODY, [NEW], name="x-sig", form="hex", prefix="sha1=")


def test_without_a_secret_an_operator_is_told():
    with pytest.raises(Misconfigured):
        prove({}, BODY, [], name="x-sig")
