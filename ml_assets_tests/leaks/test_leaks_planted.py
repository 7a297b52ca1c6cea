"""Leaks of all kinds, planted one at a time: the guide's table of which gate catches which is what the gates say."""

import re
from pathlib import Path

import pytest

from ml_assets_tests.leaks.planted_leaks import HONEST, PLANTED, UNSEEN, Planted, judge, made_up_orders

pytestmark = pytest.mark.slow

GUIDE = (Path(__file__).parents[2] / "docs/leaks.md").read_text(encoding="utf-8")
HONEST_FEATURES = {name for view in HONEST for name in view.feature_names}


def table_under(heading: str) -> dict[str, str]:
    """The rows of the one table below a heading of the guide: first cell -> second."""
    section = GUIDE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0].strip(): row[1].strip() for row in rows[2:]}


CAUGHT, MISSED = table_under("What each leak is caught by"), table_under("What no gate sees")


@pytest.fixture(scope="module")
def orders():
    return made_up_orders()


def test_the_guide_lists_every_planted_leak():
    assert [*CAUGHT] == [*PLANTED]
    assert [*MISSED] == [*UNSEEN]
    assert len(PLANTED) >= 20


@pytest.mark.parametrize("leak", PLANTED)
def test_a_planted_leak_is_caught_by_the_gates_of_the_guide(leak, orders, tmp_path):
    judged = judge(PLANTED[leak](orders), tmp_path)
    assert judged.gates == {*re.findall(r"`(\w+)`", CAUGHT[leak])}
    assert judged.gates
    for finding in judged.signs.findings:
        assert not HONEST_FEATURES & {*finding.about.split(", ")}
        assert finding.reason
        assert finding.advice


@pytest.mark.parametrize("leak", UNSEEN)
def test_what_the_guide_says_no_gate_sees_is_not_seen(leak, orders, tmp_path):
    assert judge(UNSEEN[leak](orders), tmp_path).gates == set()


@pytest.mark.parametrize("seed", range(3))
def test_the_shop_without_a_leak_gets_no_finding(seed, tmp_path):
    judged = judge(Planted(made_up_orders(seed)), tmp_path)
    assert judged.gates == set()
    assert judged.signs.unchecked == [
        "whether rows of orders are rewritten after they were used: there is no earlier version"
    ]


def test_what_is_trusted_is_not_named(orders, tmp_path):
    planted = PLANTED["the label under another name"](orders)
    assert judge(Planted(planted.orders, planted.views, trusted=["flag"]), tmp_path).gates == set()


def test_only_what_is_certain_says_so(orders, tmp_path):
    judged = judge(PLANTED["outcomes of the spine's own table, known too early"](orders), tmp_path)
    assert [(finding.gate, finding.certain) for finding in judged.signs.findings] == [
        ("label_early", True),
        ("alone", False),
    ]
    (problem,) = judged.problems
    assert problem.startswith("label.column: feature view planted reads 'returned' in aggregates.sent_back.of")
