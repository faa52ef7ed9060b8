"""A network written as a file is read back as the same network."""

import datetime as dt
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stockwright.config import load_config, read_edits, toml_of
from stockwright.domain.codes import code_problem
from stockwright.domain.network import (
    BEGINNING,
    Authority,
    Channel,
    ExposurePolicy,
    Location,
    Network,
    System,
)
from stockwright.domain.network_changes import differences, normal

CODES = st.text(min_size=1, max_size=8).filter(lambda text: not code_problem(text))
TEXTS = st.text(max_size=8).filter(lambda text: "\x00" not in text and text.isprintable())
UNITS = st.integers(0, 99)
SETTINGS = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), st.floats(-9, 9), TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
POLICIES = st.builds(
    ExposurePolicy,
    sku=st.none() | CODES,
    sku_group=st.none() | CODES,
    safety=UNITS,
    cap=st.none() | UNITS,
    pack_size=st.integers(1, 9),
)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    system, place, channel = draw(CODES), draw(CODES), draw(CODES)
    since = BEGINNING + draw(st.timedeltas(dt.timedelta(0), dt.timedelta(40_000)))
    held = Authority(group="outbound", system=system, valid_from=since)
    return Network(
        systems=(
            System(
                code=system,
                role="shop",
                owner=draw(TEXTS),
                latency_budget_s=float(draw(UNITS)),
                settings=draw(st.dictionaries(st.just("x"), SETTINGS, max_size=1)),
            ),
        ),
        locations=(Location(code=place, authority=draw(st.sampled_from(((), (held,))))),),
        channels=(
            Channel(
                code=channel,
                system=system,
                pool=(place,),
                policies=tuple(draw(st.lists(POLICIES, max_size=3))),
            ),
        ),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(networks())
def test_what_is_written_is_read_back_as_it_was(network: Network) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stockwright.toml"
        path.write_text(toml_of(network), encoding="utf-8")
        found = load_config(path)
    assert differences(network, found) == ()
    assert differences(found, network) == ()


def test_nothing_is_an_empty_file() -> None:
    assert toml_of(Network()) == ""


DATABASE = Network(
    systems=(System(code="shop", role="shop", connector="gone"),),
    locations=(Location(code="MAIN"),),
)


def test_parts_given_by_a_program_may_refer_to_what_the_database_has() -> None:
    given_ = {"channels": {"web": {"system": "shop", "pool": ["MAIN"], "policies": [{"cap": 3}]}}}
    edits, findings = read_edits(given_, DATABASE, None)
    assert findings == []
    assert edits is not None
    assert normal(edits).channels[0].policies == (ExposurePolicy(cap=3),)


def test_parts_are_judged_by_the_rules_of_the_file_and_the_database_is_not() -> None:
    bad = {"system": "shap", "pool": ["MIAN"], "policies": [{"cup": 3}], "hold_s": 0}
    edits, findings = read_edits({"channels": {"web": bad}}, DATABASE, None)
    assert edits is None
    assert [(one.field, one.fix) for one in findings] == [
        ("channels.web.hold_s", "give a whole number, 1 to 31536000"),
        ("channels.web.policies[0].cup", "did you mean cap?"),
        ("channels.web.pool[0]", "did you mean MAIN?"),
        ("channels.web.system", "did you mean shop?"),
    ]
