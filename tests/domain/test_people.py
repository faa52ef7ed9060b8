"""Roles and what they may do; names and passwords; how a password is kept."""

import base64
import itertools

import pytest

from stockwright.domain import passwords
from stockwright.domain.errors import Rejected
from stockwright.domain.passwords import Cost
from stockwright.domain.people import (
    PERMISSIONS,
    ROLES,
    SCOPES,
    checked_name,
    may,
    user_name,
)
from stockwright.store.access import SCOPES as KNOWN_SCOPES

CHEAP = Cost(4, 8, 1)


def test_a_role_may_all_that_the_one_before_it_may():
    for lesser, greater in itertools.pairwise(ROLES):
        for action in PERMISSIONS:
            assert not may(lesser, action) or may(greater, action)


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("look", {"viewer", "operator", "admin"}),
        ("own.settings", {"viewer", "operator", "admin"}),
        ("view.save", {"viewer", "operator", "admin"}),
        ("payload.read_raw", {"operator", "admin"}),
        ("work_item.assign", {"operator", "admin"}),
        ("work_item.close", {"operator", "admin"}),
        ("payload.resume", {"operator", "admin"}),
        ("payload.discard", {"operator", "admin"}),
        ("binding.put", {"operator", "admin"}),
        ("reservation.release", {"operator", "admin"}),
        ("channel.pause", {"operator", "admin"}),
        ("channel.resync", {"operator", "admin"}),
        ("connection.step", {"operator", "admin"}),
        ("connection.add", {"admin"}),
        ("connection.force", {"admin"}),
        ("subscription.steer", {"operator", "admin"}),
        ("subscription.change", {"admin"}),
        ("key.look", {"admin"}),
        ("key.revoke", {"admin"}),
        ("policy.change", {"admin"}),
        ("user.change", {"admin"}),
    ],
)
def test_who_may_do_what(action, allowed):
    assert {role for role in ROLES if may(role, action)} == allowed


def test_the_table_above_has_every_action():
    (mark,) = [mark for mark in test_who_may_do_what.pytestmark if mark.name == "parametrize"]
    assert [action for action, _ in mark.args[1]] == list(PERMISSIONS)


def test_sessions_carry_scopes_that_exist_and_only_an_admins_changes_everything():
    for role in ROLES:
        assert set(KNOWN_SCOPES) >= SCOPES[role]
        assert ("admin" in SCOPES[role]) == (role == "admin")
    assert not {scope for scope in SCOPES["viewer"] if scope.endswith(":write")}
    assert SCOPES["viewer"] < SCOPES["operator"]


@pytest.mark.parametrize("name", ["ada", "a.keller", "night-shift", "x+y@example.com", "7"])
def test_a_name_may_be(name):
    assert checked_name(f" {name.upper()} ") == name


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "ä", "a/b", "x" * 65, "demo", "CLI", "a\n"])
def test_a_name_may_not_be(name):
    if name == "a\n":
        assert user_name(name) == "a"
        return
    with pytest.raises(Rejected) as refused:
        checked_name(name)
    assert refused.value.field == "name"


@pytest.mark.parametrize(
    "password",
    ["blue lamp under stairs", "xkcd-9-Quantity", "зелёный чайник кипит", "tr0ub4dor&3xyz"],
)  # fmt: skip
def test_a_password_may_be(password):
    passwords.check(password, "ada")


@pytest.mark.parametrize(
    ("password", "word"),
    [
        ("short", "at least 12"),
        ("x" * 300, "at most 256"),
        ("tab\tin the middle", "invisible"),
        ("Password1234!", "guessed first"),
        ("!!!letmein2026", "guessed first"),
        ("correcthorsebatterystaple", "guessed first"),
        ("dragondragondragon", "guessed first"),
        ("aaaaaaaaaaaaaaa", "sequence"),
        ("abababababababab", "sequence"),
        ("abcdefghijklm", "sequence"),
        ("098765432109876", "sequence"),
        ("qwertyuiopqwerty", "sequence"),
        ("annakeller2026", "user's name"),
    ],
)
def test_a_password_may_not_be(password, word):
    with pytest.raises(Rejected, match=word) as refused:
        passwords.check(password, "annakeller")
    assert refused.value.field == "password"
    assert password not in refused.value.message


def test_a_kept_password_is_known_again_and_no_other():
    kept = passwords.hashed("blue lamp", b"s" * 16, CHEAP)
    assert passwords.matches("blue lamp", kept)
    assert not passwords.matches("blue lamq", kept)
    assert not passwords.matches("", kept)
    assert "blue" not in kept
    assert kept.startswith("scrypt$4$8$1$")


def test_the_hash_is_that_of_rfc_7914():
    # The second test vector of section 12, whose first half is what 32 bytes give.
    kept = passwords.hashed("password", b"NaCl", Cost(10, 8, 16))
    expected = "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
    assert base64.b64decode(kept.split("$")[-1]).hex() == expected


def test_the_same_password_is_kept_differently_under_another_salt():
    one, other = (passwords.hashed("blue lamp", salt * 16, CHEAP) for salt in (b"a", b"b"))
    assert one != other


def test_one_letter_written_in_two_ways_is_one_password():
    kept = passwords.hashed("caf\u00e9", b"s" * 16, CHEAP)
    assert passwords.matches("cafe\u0301", kept)


def test_nothing_matches_an_empty_password_or_nobodys():
    assert not passwords.matches("", "")
    assert not passwords.matches("x", "")
    assert not passwords.matches("x", passwords.NOBODY)


def test_a_password_of_another_cost_is_outdated_and_still_known():
    old = passwords.hashed("blue lamp", b"s" * 16, CHEAP)
    assert passwords.outdated(old)
    assert passwords.matches("blue lamp", old)
    assert not passwords.outdated(passwords.hashed("blue lamp", b"s" * 16))
    assert not passwords.outdated(passwords.NOBODY)
