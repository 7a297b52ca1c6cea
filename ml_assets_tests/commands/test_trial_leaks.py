"""What a try prints of signs of a leak, and hands on as JSON."""

import io
import json

import polars as pl
from rich.console import Console

from ml_assets.commands.experiment.trial import Trial, as_json, print_trial
from ml_assets.training.evaluation.leaks.finding import Finding


def trial(*findings: Finding, unchecked: tuple[str, ...] = (), left_out: dict[str, int] | None = None) -> Trial:
    alone = pl.DataFrame({"feature": ["km"], "value": [0.6], "limit": [0.9], "suspicious": [False]})
    return Trial(
        model="late", rows={"train": 10}, metrics={"roc_auc": (0.7, 0.5)}, suspects=alone, measure="roc_auc",
        findings=[*findings], unchecked=[*unchecked], left_out=left_out or {}, seconds=1.0,
    )  # fmt: skip


def printed(tried: Trial) -> str:
    console = Console(file=io.StringIO(), width=400)
    print_trial(console, tried)
    return console.file.getvalue()


SEEN = Finding("rewritten", "status", 0.14159265, 0.01, "values [of status] are others now", "keep every state")
SURE = Finding("label_early", "view", 1.0, 0.0, "reads the outcome", "let known_at be another", certain=True)


def test_each_finding_is_printed_with_its_reason_and_what_to_do():
    text = printed(trial(SURE, SEEN))
    assert "leak view (label_early): reads the outcome\n  let known_at be another\n" in text
    assert "leak? status (rewritten): values [of status] are others now\n  keep every state\n" in text


def test_nothing_to_say_is_said_and_so_is_what_was_not_looked_at():
    text = printed(trial(unchecked=("whether rows of t are rewritten",), left_out={"label_too_late": 1200}))
    assert "no sign of a leak\n" in text
    assert "not checked: whether rows of t are rewritten\n" in text
    assert "left out of the split: 1,200 label_too_late\n" in text


def test_findings_are_handed_on_as_json():
    told = json.loads(json.dumps(as_json(trial(SEEN, left_out={"in_gap": 3}))))
    assert told["findings"] == [
        {
            "gate": "rewritten",
            "about": "status",
            "value": 0.1416,
            "limit": 0.01,
            "reason": "values [of status] are others now",
            "advice": "keep every state",
            "certain": False,
        }
    ]
    assert (told["unchecked"], told["left_out"]) == ([], {"in_gap": 3})
