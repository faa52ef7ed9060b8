"""docs/how-to/map-a-partners-messages.md: every snippet and command works, in its order."""

import re
import shlex
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/how-to/map-a-partners-messages.md"
STEP = re.compile(r"(?ms)^```(\w+) (\S+)\n(.*?)^```|^    (stockwright .*?)$")
HEADER = "[systems.ACME.settings]\n"


def test_a_partner_s_messages_are_mapped_both_ways_by_the_how_to(stockwright, tmp_path):
    config, told = tmp_path / "stockwright.toml", {}
    text = ""
    for kind, name, block, command in STEP.findall(PAGE.read_text(encoding="utf-8")):
        if command:
            config.write_text(text, encoding="utf-8")
            ran = stockwright(*shlex.split(command)[1:])
            assert ran.code == 0, f"{command}: {ran.out}{ran.err}"
            told[command] = ran.out
        elif kind == "json":
            (tmp_path / name).write_text(block, encoding="utf-8")
        elif name == "settings":
            text = text.replace(HEADER, HEADER + block, 1)
        else:
            text += block
    sale, levels, shipment = (told[c] for c in told if "map test" in c)
    assert "order_line = 1" in sale
    assert "document = SO-1007" in sale
    assert "POST /stock" in levels
    assert '"free": 7' in levels
    assert "Read back, it is the same." in levels
    assert "POST /orders/SO-1007/events" in shipment
    assert '"ref": "SO-1007/K-1"' in shipment
    assert '"no": "1007"' in shipment
    assert "Read back otherwise: key." in shipment
