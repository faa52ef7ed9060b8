"""A webhook is believed only with a signature over its raw body."""

import datetime as dt

import pytest

from stockwright.domain.errors import Misconfigured, Rejected
from stockwright.sdk.secrets import Secret
from stockwright.sdk.webhooks import new_secret, signed, signed_by, verify

BODY = '{"note": "grüße", "quantity": 1}'.encode()


def now():
    return dt.datetime.now(dt.UTC)


def test_a_signed_body_is_believed_whatever_the_case_of_its_headers():
    secret = new_secret()
    headers = {name.upper(): value for name, value in signed(secret, "m-1", BODY, now()).items()}
    assert verify(headers, BODY, [secret]) == "m-1"


def test_either_secret_is_believed_during_a_change_over():
    old, new = new_secret(), new_secret()
    for secret in (old, new):
        assert verify(signed(secret, "m-1", BODY, now()), BODY, [old, new]) == "m-1"


@pytest.mark.parametrize(
    "other", ["v1a,c2ln", "v2,a,b", "v1,%%%", "v1,A", "nonsense", "v1,\xe9", ""]
)
def test_a_signature_of_another_form_beside_the_right_one_changes_nothing(other):
    """A sender that goes over to another version sends both; the unknown one refused them all."""
    secret = new_secret()
    headers = signed(secret, "m-1", BODY, now())
    right = headers["webhook-signature"]
    for told in (f"{other} {right}", f"{right} {other}", f"  {right}  "):
        assert verify({**headers, "webhook-signature": told}, BODY, [secret]) == "m-1"


def test_a_message_signed_by_both_secrets_of_a_change_over_is_believed_by_either():
    old, new = new_secret(), new_secret()
    headers = signed_by([new, old], "m-1", BODY, now())
    for known in ([old], [new], [new_secret(), old]):
        assert verify(headers, BODY, known) == "m-1"


SECRET = new_secret()
RIGHT = signed(SECRET, "m-1", BODY, now())


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        (RIGHT, BODY + b" "),
        (RIGHT, BODY.replace(b"1", b"2")),
        (RIGHT, b"\xff\xfe"),
        ({**RIGHT, "webhook-id": "m-2"}, BODY),
        ({**RIGHT, "webhook-timestamp": "1"}, BODY),
        ({**RIGHT, "webhook-timestamp": "nan"}, BODY),
        ({**RIGHT, "webhook-timestamp": "9" * 400}, BODY),
        ({**RIGHT, "webhook-signature": ""}, BODY),
        ({**RIGHT, "webhook-signature": "v1"}, BODY),
        ({**RIGHT, "webhook-signature": "v1,%%%"}, BODY),
        ({**RIGHT, "webhook-signature": "v1,a,b,c"}, BODY),
        ({**RIGHT, "webhook-signature": "v2" + RIGHT["webhook-signature"][2:]}, BODY),
        (signed(new_secret(), "m-1", BODY, now()), BODY),
        (signed(SECRET, "m-1", BODY, now() - dt.timedelta(minutes=6)), BODY),
        # An hour: this is made when the file is read, and a long run comes here minutes later.
        (signed(SECRET, "m-1", BODY, now() + dt.timedelta(minutes=60)), BODY),
    ],
)
def test_anything_else_is_refused_without_saying_what_failed(headers, body):
    with pytest.raises(Rejected) as error:
        verify(headers, body, [SECRET])
    assert (error.value.reason, error.value.field) == ("signature", "headers")


@pytest.mark.parametrize("value", ["whsec_", "a", "ü"])
def test_an_unusable_secret_names_the_setting_and_not_itself(value):
    with pytest.raises(Misconfigured) as error:
        verify(RIGHT, BODY, [Secret(value)])
    assert error.value.setting == "webhook_secrets"
    assert "ü" not in str(error.value)


def test_a_secret_of_which_no_byte_is_left_proves_nothing():
    with pytest.raises(Misconfigured, match="base64"):
        verify({}, b"{}", [Secret("whsec_!!!!")])
