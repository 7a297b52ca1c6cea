import base64
import json
import math
import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from ml_assets.commands.experiment.replay_print import print_replay
from ml_assets.retraining.replay import report as replay_report
from ml_assets.retraining.replay.lived import LivedPeriod, LivedPolicy
from ml_assets.retraining.replay.report import as_json, best_policies, describe_best, plot_timeline, render_replay

EVIL = "<script>alert('$x^$')</script>"
NAN = math.nan


def period(name: str, value: float = 0.7, decision: str = "wait: nothing", **changes) -> LivedPeriod:
    given = {"version": "2021-01-01", "retrained": False, "promoted": False, "missed": False}
    return LivedPeriod(name, value, value - 0.02, value + 0.03, decision=decision, **given | changes)


def policy(name: str, regret: float = 0.0, retrains: int = 0, **changes) -> LivedPolicy:
    periods = [period(f"2021-0{i + 1}", retrained=i < retrains, promoted=i % 2 == 0) for i in range(4)]
    given = LivedPolicy(name, tuple(periods), 0.75 - regret, 0.70, 0.79, 12.5, regret)
    return replace(given, **changes)


def printed(lived: list[LivedPolicy], width: int = 80) -> str:
    console = Console(file=StringIO(), width=width, highlight=False)
    print_replay(console, "late", "roc_auc", lived)
    return console.file.getvalue()


def shown_table(page: str) -> list[list[str]]:
    """The cells of the first table."""
    rows = re.findall(r"<tr.*?</tr>", page[: page.index("</table>")], re.S)
    return [[re.sub(r"<[^>]+>", "", c) for c in re.findall(r"<t[dh].*?</t[dh]>", r, re.S)] for r in rows]


def test_json_has_exactly_the_promised_fields():
    first = period("2021-01", 0.71, "retrain: old", retrained=True, promoted=True, missed=True)
    lived = LivedPolicy("monthly", (first, period("2021-02", 0.75, version="2021-02-01")), 0.73, 0.7, 0.76, 3.5, 0.01)
    assert as_json("late", "roc_auc", [lived]) == {
        "model": "late",
        "metric": "roc_auc",
        "policies": [
            {
                "policy": "monthly",
                "mean": 0.73,
                "low": 0.7,
                "high": 0.76,
                "retrains": 1,
                "training_seconds": 3.5,
                "detection_delay": 0.0,
                "regret": 0.01,
                "periods": [
                    {
                        "period": "2021-01",
                        "value": 0.71,
                        "low": 0.71 - 0.02,
                        "high": 0.71 + 0.03,
                        "decision": "retrain: old",
                        "version": "2021-01-01",
                        "missing_labels": 0,
                    },
                    {
                        "period": "2021-02",
                        "value": 0.75,
                        "low": 0.75 - 0.02,
                        "high": 0.75 + 0.03,
                        "decision": "wait: nothing",
                        "version": "2021-02-01",
                        "missing_labels": 0,
                    },
                ],
            }
        ],
    }


def test_undefined_numbers_are_null_in_json_and_a_dash_for_people():
    lived = policy("never", mean=NAN, low=NAN, high=math.inf, regret=NAN, periods=(period("2021-01", NAN),))
    told = as_json("late", "roc_auc", [lived])["policies"][0]
    read = json.loads(json.dumps(told, allow_nan=False))
    assert [read[name] for name in ("mean", "low", "high", "detection_delay", "regret")] == [None] * 5
    assert [read["periods"][0][name] for name in ("value", "low", "high")] == [None] * 3
    for text in (render_replay("late", "roc_auc", [lived]), printed([lived])):
        assert "– [–, –]" in re.sub(r"<[^>]+>", "", text)
        assert "nan" not in re.sub(r"base64,[^\"]+", "", text).lower()


def test_best_has_the_least_regret_and_then_the_fewest_retrains():
    lived = [policy("a", 0.01), policy("b", 0.0, 3), policy("c", 0.0, 1), policy("d", 0.0, 1), policy("e", NAN)]
    assert [one.policy for one in best_policies(lived)] == ["c", "d"]
    assert best_policies([policy("a", mean=NAN)]) == []


@pytest.mark.parametrize(
    ("lived", "sentence"),
    [
        ([policy("alone", retrains=1)], "Best mean roc_auc: alone, 0.7500 with 1 retrain."),
        (
            [policy("never", 0.01), policy("evidence", retrains=1), policy("a", 0.002, 4), policy("b", 0.002, 4)],
            "Best mean roc_auc: evidence, 0.7500 with 1 retrain, 3 fewer than a and b (4).",
        ),
        (
            [policy("never", 0.01), policy("monthly", retrains=2)],
            "Best mean roc_auc: monthly, 0.7500 with 2 retrains; no policy retrained more often.",
        ),
        ([policy("never", NAN)], "No policy has a mean roc_auc: it is undefined in some period."),
    ],
)
def test_the_best_policy_and_what_it_saved_in_one_sentence(lived: list[LivedPolicy], sentence: str):
    assert describe_best("roc_auc", lived) == sentence


@pytest.mark.parametrize("count", [1, 5])
def test_page_compares_the_policies_and_tells_each_ones_story(count: int):
    lived = [policy(f"policy {i}", i / 100, retrains=2) for i in range(count)]
    page = render_replay("late", "roc_auc", lived)
    heading, *rows = shown_table(page)
    assert heading == ["policy", "mean roc_auc", "regret", "retrains", "training, s", "delay"]
    assert len(rows) == count
    assert rows[0] == ["policy 0 ★ best", "0.7500 [0.7000, 0.7900]", "0.0000", "2", "12.5", "–"]
    assert all("★" not in row[0] for row in rows[1:])
    assert page.count('<section class="lived">') == count
    assert page.count("0.7000 <span class=\"soft\">[0.6800, 0.7300]</span>") == 4 * count  # fmt: skip
    assert page.count("<b>● promoted</b>") == page.count("<b>○ refused</b>") == count


def test_page_marks_a_fall_beyond_the_limit():
    fell = policy("never", periods=(period("2021-01", missed=True), period("2021-02")))
    assert render_replay("late", "roc_auc", [fell]).count("▼</span>") == 1


def test_page_escapes_every_text():
    evil = period(f"p {EVIL}", decision=f"retrain: {EVIL}", version=f"v {EVIL}")
    page = render_replay(f"late {EVIL}", "roc_auc", [policy(f"never {EVIL}", periods=(evil,))])
    assert "<script" not in page
    escaped = "&lt;script&gt;alert(&#39;$x^$&#39;)&lt;/script&gt;"
    assert all(f"{what} {escaped}" in page for what in ("late", "never", "p", "v", "retrain:"))


def test_page_loads_nothing_from_elsewhere():
    page = render_replay("late", "roc_auc", [policy("never")])
    assert re.findall(r"(?:src|href)=\"(?!data:)|url\(|@import|https?://", page) == []
    (image,) = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert base64.b64decode(image).startswith(b"\x89PNG")


def test_page_says_which_way_is_better():
    assert "lower is better" in render_replay("late", "log_loss", [policy("never")])
    assert "higher is better" in render_replay("late", "roc_auc", [policy("never")])


class Drawing:
    """What the timeline's axes were told to draw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.lines = {}
        self.retrains = []
        draw = replay_report._draw

        def watched(axes, *rest):
            draw(axes, *rest)
            named = [line for line in axes.lines if not line.get_label().startswith("_")]
            self.lines = {line.get_label(): line for line in named}
            self.retrains = [line for line in axes.lines if line not in named]

        monkeypatch.setattr(replay_report, "_draw", watched)


def test_policies_that_lived_the_same_share_a_line(monkeypatch: pytest.MonkeyPatch):
    drawing = Drawing(monkeypatch)
    reasons = tuple(replace(one, decision="retrain: it is the 1st") for one in policy("", retrains=2).periods)
    other = policy("evidence", periods=(*reasons[:3], replace(reasons[3], value=0.71)))
    plot_timeline("roc_auc", [policy("monthly", retrains=2), other, policy("every-drop", periods=reasons)])
    assert list(drawing.lines) == ["monthly = every-drop", "evidence"]


def test_undefined_values_are_alike_too(monkeypatch: pytest.MonkeyPatch):
    drawing = Drawing(monkeypatch)
    plot_timeline("roc_auc", [policy(name, periods=(period("2021-01", float("nan")),)) for name in "ab"])
    assert list(drawing.lines) == ["a = b"]


def test_promoted_retrains_are_filled_and_refused_ones_hollow(monkeypatch: pytest.MonkeyPatch):
    drawing = Drawing(monkeypatch)
    plot_timeline("roc_auc", [policy("monthly", retrains=3)])
    promoted, refused = drawing.retrains
    assert (promoted.get_markerfacecolor(), refused.get_markerfacecolor()) == (promoted.get_markeredgecolor(), "white")
    assert (promoted.get_xdata().round().tolist(), refused.get_xdata().round().tolist()) == ([0, 2], [1])


def test_eleven_lines_differ_in_colour_or_marker(monkeypatch: pytest.MonkeyPatch):
    drawing = Drawing(monkeypatch)
    plot_timeline("roc_auc", [policy(f"p{i}", periods=(period("2021-01", i / 20 + 0.1),)) for i in range(11)])
    assert len({(line.get_color(), line.get_marker()) for line in drawing.lines.values()}) == 11


def test_printed_table_fits_eighty_columns_and_ends_with_what_the_best_saved():
    lived = [policy("never", 0.0123), policy("multivariate", 0.002, 4, training_seconds=1234.56)]
    lived = [*lived, policy("evidence", periods=(period("2021-01", missed=True), period("2021-02", retrained=True)))]
    lines = printed(lived).splitlines()
    assert max(map(len, lines)) <= 80
    rows = {line.split()[0]: line.split() for line in lines[1:] if "[" in line}
    assert rows["never"] == ["never", "0.7377", "[0.7000,", "0.7900]", "0", "12.5", "–", "0.0123"]
    assert rows["multivariate"][-4:] == ["4", "1,234.6", "–", "0.0020"]
    assert rows["evidence"] == ["evidence", "*", "0.7500", "[0.7000,", "0.7900]", "1", "12.5", "1.0", "0.0000"]
    last = " ".join(line.strip() for line in lines[-2:])
    assert last == "* Best mean roc_auc: evidence, 0.7500 with 1 retrain, 3 fewer than multivariate (4)."


def test_printed_names_are_no_markup():
    assert "[red]x[/]" in printed([policy("[red]x[/]")])
