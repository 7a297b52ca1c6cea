import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ml_assets.training.metrics.bootstrap import Interval
from ml_assets.training.promotion.comparison import Incomparable, compare_on_same_rows
from ml_assets.training.promotion.decide import decide_promotion
from ml_assets.training.promotion.records import PromotionDecision, PromotionEvidence
from ml_assets.training.spec import PromotionSpec


def interval(low, estimate, high):
    return Interval(estimate, low, high, 0.95, 1000)


BETTER, WORSE, UNSURE = interval(0.01, 0.02, 0.03), interval(-0.05, -0.03, -0.01), interval(-0.004, 0.001, 0.006)


def measured(name, observed, limit):
    return PromotionEvidence(name=name, observed=observed, threshold=limit, passed=observed <= limit, source="measured")


RIGHT, WRONG = [measured("values_differing", 0, 0)], [measured("values_differing", 12, 0)]
FAST = [measured("p95_ms", 3.5, 5), measured("p99_ms", 8, 10)]
SLOW = [measured("p95_ms", 3.5, 5), measured("p99_ms", 10.25, 10)]


UNFAIR = [measured("odds_difference by sex", 0.3, 0.1)]


def decide(
    champion="3",
    over_champion=BETTER,
    over_baseline=BETTER,
    floors=None,
    margin=0.0,
    values=None,
    serving=None,
    fairness=(),
):
    return decide_promotion(
        model="m",
        challenger="4",
        champion=champion,
        values=values or {"roc_auc": 0.7, "log_loss": 0.5},
        floors={} if floors is None else floors,
        over_baseline=over_baseline,
        over_champion=over_champion,
        promotion=PromotionSpec(margin=margin),
        serving=serving,
        fairness=fairness,
    )


@pytest.mark.parametrize(
    ("case", "promote", "rule"),
    [
        ({"champion": None, "over_champion": None}, True, "first_champion"),
        ({}, True, "no_worse_than_champion"),
        ({"over_champion": WORSE}, False, "no_worse_than_champion"),
        ({"over_champion": UNSURE}, False, "no_worse_than_champion"),
        ({"over_champion": UNSURE, "margin": 0.005}, True, "no_worse_than_champion"),
        ({"over_champion": WORSE, "margin": 0.005}, False, "no_worse_than_champion"),
        ({"over_champion": interval(0.0, 0.0, 0.0)}, True, "no_worse_than_champion"),
        ({"over_baseline": UNSURE}, False, "better_than_baseline"),
        ({"over_baseline": interval(0.0, 0.0, 0.0)}, False, "better_than_baseline"),
        ({"over_champion": Incomparable(why="x", accepted=False)}, False, "comparable_with_champion"),
        ({"over_champion": Incomparable(why="x", accepted=True)}, True, "comparable_with_champion"),
        ({"over_champion": Incomparable(why="x", accepted=True), "floors": {"roc_auc": 0.71}}, False, "floors"),
        ({"floors": {"roc_auc": 0.7}}, True, "no_worse_than_champion"),
        ({"floors": {"roc_auc": 0.71}}, False, "floors"),
        ({"floors": {"log_loss": 0.5}}, True, "no_worse_than_champion"),
        ({"floors": {"log_loss": 0.49}}, False, "floors"),
        ({"floors": {"roc_auc": 0.6, "log_loss": 0.49}, "over_baseline": UNSURE}, False, "floors"),
        ({"champion": None, "over_champion": None, "over_baseline": UNSURE}, False, "better_than_baseline"),
        ({"fairness": UNFAIR}, False, "fairness"),
        ({"fairness": UNFAIR, "floors": {"roc_auc": 0.71}}, False, "floors"),
        ({"fairness": UNFAIR, "over_baseline": UNSURE}, False, "fairness"),
        ({"fairness": RIGHT}, True, "no_worse_than_champion"),
        ({"serving": {"serving_skew": RIGHT, "latency": FAST}}, True, "no_worse_than_champion"),
        ({"serving": {"serving_skew": [], "latency": FAST}}, True, "no_worse_than_champion"),
        ({"serving": {"serving_skew": WRONG, "latency": SLOW}}, False, "serving_skew"),
        ({"serving": {"serving_skew": RIGHT, "latency": SLOW}}, False, "latency"),
        (
            {"serving": {"serving_skew": WRONG, "latency": FAST}, "over_champion": WORSE},
            False,
            "no_worse_than_champion",
        ),
        ({"serving": {"latency": SLOW}, "champion": None, "over_champion": None}, False, "latency"),
    ],
)
def test_the_rules_apply_in_order(case, promote, rule):
    found = decide(**case)
    assert (found.promote, found.rule) == (promote, rule)
    assert found.promote == all(item.passed for item in found.evidence)


def test_every_value_that_was_looked_at_is_evidence():
    found = decide(floors={"roc_auc": 0.71, "log_loss": 0.6}, over_champion=UNSURE, margin=0.002)
    assert [(item.name, item.observed, item.threshold, item.passed) for item in found.evidence] == [
        ("roc_auc", 0.7, 0.71, False),
        ("log_loss", 0.5, 0.6, True),
        ("roc_auc_over_baseline_low", 0.01, 0.0, True),
        ("roc_auc_over_champion_low", -0.004, -0.002, False),
    ]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            {"floors": {"roc_auc": 0.71}},
            "misses a declared floor (roc_auc is 0.7000, floor 0.71): version 3 stays champion.",
        ),
        ({"over_baseline": UNSURE}, "not shown to beat the naive baseline in roc_auc: version 3 stays champion."),
        ({"over_champion": WORSE}, "not shown to be as good as version 3, roc_auc differs by -0.0300"),
        ({}, "replaces version 3: roc_auc differs by +0.0200 (95% interval +0.0100 to +0.0300)"),
        ({"champion": None, "over_champion": None, "over_baseline": UNSURE}, "no version serves"),
        (
            {"serving": {"serving_skew": WRONG}},
            "What was served last is not what it should be (values_differing is 12, limit 0): version 3 stays",
        ),
        (
            {"serving": {"latency": SLOW}},
            "Version 4 is too slow (p99_ms is 10.25, limit 10): version 3 stays champion.",
        ),
    ],
)
def test_the_reason_says_it_in_words(case, words):
    assert words in decide(**case).reason


def test_a_decision_survives_json():
    found = decide(floors={"roc_auc": 0.6})
    assert PromotionDecision.model_validate_json(found.model_dump_json()) == found


def test_contradictory_input_is_refused():
    with pytest.raises(ValueError, match=r"floors of m name \['brier'\]"):
        decide(floors={"brier": 0.2})
    with pytest.raises(ValueError, match="go together"):
        decide(champion=None)
    with pytest.raises(ValueError, match="go together"):
        decide(over_champion=None)


def test_two_versions_are_compared_on_the_same_rows():
    rng = np.random.default_rng(0)
    good = rng.random(500)
    label, bad = rng.random(500) < good, np.clip(good + rng.normal(0, 0.3, 500), 0, 1)
    found = compare_on_same_rows(label, good, bad, promotion=PromotionSpec(resamples=300), seed=0)
    assert found.estimate == pytest.approx(roc_auc_score(label, good) - roc_auc_score(label, bad))
    assert found.low > 0
    swapped = compare_on_same_rows(label, bad, good, promotion=PromotionSpec(resamples=300), seed=0)
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


def test_what_cannot_be_compared_says_why_and_what_to_do():
    kept = decide(over_champion=Incomparable(why="the label was a and is b", accepted=False))
    assert kept.reason == (
        "Version 4 cannot be compared with version 3 (the label was a and is b): version 3 stays champion. To let it "
        "serve all the same declare promotion.accept_over: '3' and materialize champion again."
    )
    (evidence,) = [item for item in kept.evidence if item.name == "comparable_with_champion"]
    assert (evidence.observed, evidence.threshold, evidence.passed) == (0, 1, False)
    taken = decide(over_champion=Incomparable(why="the label was a and is b", accepted=True))
    assert taken.reason == ("Version 4 replaces version 3, as promotion.accept_over says: the label was a and is b.")
