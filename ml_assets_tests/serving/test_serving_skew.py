"""A courier's deliveries: counts and sums over an hour, the last one within two hours, and what the order itself says.

All moments are on one day: `at("10:30")`.
"""

import json
from datetime import UTC, datetime

import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of
from ml_assets.online.values.record import Build
from ml_assets.serving.log.known_facts import KnownFacts
from ml_assets.serving.log.request_log import Answered, LogSchema, log_frame
from ml_assets.serving.log.skew import find_skew, sample_answers

MOMENT = pl.Datetime("us", "UTC")
VIEW = FeatureViewSpec(
    name="courier",
    description="How late a courier has been.",
    entity=["courier"],
    table="deliveries",
    known_at="done_at",
    ttl="2h",
    latest={"last_zone": "zone"},
    windows=["1h"],
    aggregates={
        "deliveries": {"functions": ["count"]},
        "late": {"of": "late", "functions": ["sum", "mean"]},
    },
)
ORDER = FeatureViewSpec(
    name="order", description="The order.", entity=["order"], request={"heavy": "kilos > 10", "kilos": "kilos"}
)
CITY = FeatureViewSpec(
    name="city", description="The city.", entity=["courier"], table="couriers", lookups={"wheels": "wheels"}
)
SPINE = {"order": pl.Int32(), "courier": pl.String(), "kilos": pl.Int64(), "asked_at": MOMENT}
FEATURES = [*VIEW.feature_names, *ORDER.feature_names, *CITY.feature_names]


def at(time):
    return datetime.fromisoformat(f"2024-03-05T{time}:00").replace(tzinfo=UTC)


def facts(*rows):
    schema = {"courier": pl.String, "done_at": MOMENT, "late": pl.Float64, "zone": pl.String}
    return pl.DataFrame([(name, at(time), late, zone) for name, time, late, zone in rows], schema=schema, orient="row")


TABLE = [
    facts(("ann", "09:30", 4.5, "a"), ("ann", "10:00", 2.0, "b"), ("bob", "09:50", 1.0, "a")),
]
TABLE += [pl.concat([TABLE[0], facts(("ann", "10:20", 8.0, "c"))])]
COURIERS = pl.DataFrame({"courier": ["ann", "bob"], "wheels": [2, 3]})


def named(build, view=VIEW):
    return f"{build}@{declaration_of(view)}"


def build(name, as_of, until, version, pushed_seq=0):
    return Build(
        view="courier", build=named(name), as_of=at(as_of), valid_until=until and at(until), table_version=version,
        pushed_seq=pushed_seq,
    )  # fmt: skip


BUILDS = pl.concat([build("b0", "10:05", "12:05", 0).frame(), build("b1", "10:40", "12:40", 1, 2).frame()])


def pushed(*rows):
    """Pushed facts: sequence number, then the fact."""
    return facts(*(row[1:] for row in rows)).with_columns(pl.Series("_seq", [row[0] for row in rows], pl.Int64))


PUSHED = pushed((1, "ann", "10:20", 8.0, "c"), (2, "ann", "10:10", 3.0, "a"), (3, "bob", "10:50", 5.0, "d"))


class Model:
    """Scores a row by its number of deliveries, and has the features of the views."""

    task, classes, intervals, features, threshold = "regression", None, None, FEATURES, None


@pytest.fixture(autouse=True)
def known_scores(monkeypatch):
    from ml_assets.serving.log import skew

    monkeypatch.setattr(skew, "predict", lambda _, rows: rows["deliveries_count_1h"].fill_null(-1).to_numpy() * 10.0)


def answered(asked_at, courier="ann", build=("b0", 0), state="fresh", kilos=12, *, stored, order=7, **more):
    """An answer with stored features in the order of the view; the others as they should be."""
    features = dict(zip(VIEW.feature_names, stored, strict=True))
    features |= {"heavy": kilos > 10, "kilos": kilos, "wheels": {"ann": 2, "bob": 3}.get(courier)}
    count = features["deliveries_count_1h"]
    one = {
        "request_id": "r", "row": 0, "model": "late", "version": "1", "role": "champion",
        "requested_at": int(at(asked_at).timestamp() * 1e6), "latency": 0.001,
        "given": {"order": order, "courier": courier, "kilos": kilos}, "features": features,
        "answer": dict.fromkeys(["score", "prediction"], -10.0 if count is None else 10.0 * count),
        "versions": {"city": (named("c", CITY), 0)} | ({"courier": (named(build[0]), build[1])} if build else {}),
        "states": {"courier": state, "city": "fresh"},
    }  # fmt: skip
    return Answered(**one | more)


def log(*rows):
    types = {"last_zone": pl.String(), "heavy": pl.Boolean()}
    schema = LogSchema(
        given={"order": pl.Int64(), "courier": pl.String(), "kilos": pl.Int64()},
        features={name: types.get(name, pl.Float64()) for name in FEATURES},
        answer={"score": pl.Float64(), "prediction": pl.Float64()},
    )
    return log_frame(rows, {"1": schema})


def compare(*rows, table=TABLE, pushed=PUSHED):
    static = Build(
        view="city", build=named("c", CITY), as_of=at("09:00"), valid_until=None, table_version=0, pushed_seq=0
    )
    known = {
        "courier": KnownFacts(VIEW, BUILDS, lambda version: table[version].lazy(), pushed.lazy()),
        "city": KnownFacts(CITY, static.frame(), lambda _: COURIERS.lazy(), None),
    }
    frame = rows[0] if isinstance(rows[0], pl.DataFrame) else log(*rows)
    return find_skew(frame, [VIEW, ORDER, CITY], known, {"1": Model()}, key=["order"], time="asked_at", spine=SPINE)


# By hand: last_zone, deliveries_count_1h, late_sum_1h, late_mean_1h.
HONEST = {
    "all facts of the table": answered("10:15", stored=["b", 2, 6.5, 3.25]),
    "a fact leaves the window at its very end": answered("10:30", stored=["b", 1, 2.0, 2.0]),
    "nothing in the window, the last one within two hours": answered("11:00", stored=["b", 0, None, None]),
    "nothing within reach": answered("12:00", stored=[None, 0, None, None]),
    "a pushed fact": answered("10:25", build=("b0", 1), stored=["c", 3, 14.5, 14.5 / 3]),
    "a pushed fact of the time to come": answered("10:16", build=("b0", 1), stored=["b", 2, 6.5, 3.25]),
    "a late fact before it arrived": answered("10:25", build=("b0", 1), stored=["c", 3, 14.5, 14.5 / 3]),
    "a late fact after it arrived": answered("10:26", build=("b0", 2), stored=["c", 4, 17.5, 4.375]),
    "a fact pushed and delivered counts once": answered("10:45", build=("b1", 2), stored=["c", 3, 13.0, 13 / 3]),
    "a fact of another courier": answered("10:55", "bob", ("b1", 3), stored=["d", 1, 5.0, 5.0]),
    "a courier before the push": answered("10:55", "bob", ("b1", 2), stored=["a", 0, None, None]),
    "a courier nobody knows": answered("10:15", "eve", state="unseen", stored=[None, 0, None, None]),
    "no courier": answered("10:15", None, state="unseen", stored=[None, 0, None, None]),
    "an expired build": answered("12:05", state="expired", stored=[None] * 4),
    "no build": answered("10:15", build=None, state="missing", stored=[None] * 4),
    "a float without its last digit": answered("10:15", stored=["b", 2, 6.5, 3.25 * (1 + 1e-12)]),
}  # fmt: skip


def test_what_another_declaration_built_is_not_compared_and_the_rest_is():
    other = VIEW.model_copy(update={"windows": ["3h"]})
    given = {"versions": {"courier": (named("b0", other), 0), "city": (named("c", CITY), 0)}}
    wrong = ["z", 9, 9.0, 9.0]
    with_other, with_ours = compare(answered("10:15", stored=wrong, **given)), compare(answered("10:15", stored=wrong))
    assert with_other.differing.rows() == []
    assert with_ours.differing["feature"].sort().to_list() == sorted(VIEW.feature_names)
    assert with_ours.values - with_other.values == len(VIEW.feature_names)
    off = answered("10:15", stored=wrong, **given, features=answered("10:15", stored=wrong).features | {"wheels": 5})
    assert compare(off).differing["feature"].to_list() == ["wheels"]


@pytest.mark.parametrize("one", HONEST.values(), ids=HONEST.keys())
def test_honest_answers_pass(one):
    found = compare(one)
    assert found.differing.rows() == []
    fresh = 1 if one.states["courier"] in ("expired", "missing") else 5
    # 4 stored features, a lookup, 2 of the request, score and prediction
    assert (found.rows, found.values, found.fresh_values) == (1, 9, fresh)


def test_honest_answers_pass_together():
    found = compare(*HONEST.values())
    assert found.differing.is_empty()
    record = found.record("late", "2024-03")
    assert record.passed
    assert (record.rows, record.values, record.worst_feature) == (16, 144, None)


PLANTED = {
    "another value": (
        answered("10:15", stored=["b", 2, 7.0, 3.25]), [("courier", "late_sum_1h", "7.0", "6.5")],
    ),
    "the future": (
        answered("10:15", stored=["c", 3, 14.5, 14.5 / 3]),
        [
            ("courier", "deliveries_count_1h", "3.0", "2"),
            ("courier", "last_zone", "c", "b"),
            ("courier", "late_mean_1h", str(14.5 / 3), "3.25"),
            ("courier", "late_sum_1h", "14.5", "6.5"),
        ],
    ),
    "a fact that had not arrived": (
        answered("10:26", build=("b0", 1), stored=["c", 4, 17.5, 17.5 / 4]),
        [
            ("courier", "deliveries_count_1h", "4.0", "3"),
            ("courier", "late_mean_1h", "4.375", str(14.5 / 3)),
            ("courier", "late_sum_1h", "17.5", "14.5"),
        ],
    ),
    "a window closed at its far end": (
        answered("10:30", stored=["b", 2, 6.5, 3.25]),
        [
            ("courier", "deliveries_count_1h", "2.0", "1"),
            ("courier", "late_mean_1h", "3.25", "2.0"),
            ("courier", "late_sum_1h", "6.5", "2.0"),
        ],
    ),
    "a value that should have expired": (
        answered("12:05", state="fresh", stored=[None, 0, None, None]),
        [("courier", "deliveries_count_1h", "0.0", None)],
    ),
    "null where a build was there": (
        answered("10:15", state="expired", stored=[None] * 4),
        [
            ("courier", "deliveries_count_1h", None, "2"),
            ("courier", "last_zone", None, "b"),
            ("courier", "late_mean_1h", None, "3.25"),
            ("courier", "late_sum_1h", None, "6.5"),
        ],
    ),
    "values of an unseen entity for a known one": (
        answered("10:15", state="unseen", stored=[None, 0, 6.5, 3.25]),
        [("courier", "deliveries_count_1h", "0.0", "2"), ("courier", "last_zone", None, "b")],
    ),
    "a float that is off by more than rounding": (
        answered("10:15", stored=["b", 2, 6.5, 3.25 * (1 + 3e-9)]),
        [("courier", "late_mean_1h", str(3.25 * (1 + 3e-9)), "3.25")],
    ),
    "a count that is not whole": (
        answered("10:15", stored=["b", 2 + 1e-12, 6.5, 3.25], answer={"score": 20.0, "prediction": 20.0}),
        [("courier", "deliveries_count_1h", str(2 + 1e-12), "2")],
    ),
    "another score": (
        answered("10:15", stored=["b", 2, 6.5, 3.25], answer={"score": 20.1, "prediction": 20.0}),
        [("answer", "score", "20.1", "20.0")],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("one", "expected"), PLANTED.values(), ids=PLANTED.keys())
def test_planted_skew_is_found_and_nothing_else(one, expected):
    found = compare(*HONEST.values(), one)
    columns = ["view", "feature", "served", "recomputed"]
    assert sorted(found.differing.select(columns).rows()) == sorted(expected)
    (about,) = found.differing.select("key", "requested_at", "request_id", "row").unique().rows()
    assert json.loads(about[0]) == {"order": 7}
    assert int(about[1].timestamp() * 1e6) == one.requested_at
    record = found.record("late", "2024-03")
    assert not record.passed
    assert record.differing == len(expected)


def test_request_features_are_computed_from_what_was_given():
    features = {"heavy": False, "kilos": 12, "wheels": 2} | dict(
        zip(VIEW.feature_names, ["b", 2, 6.5, 3.25], strict=True)
    )
    found = compare(answered("10:15", stored=["b", 2, 6.5, 3.25], features=features))
    assert found.differing.select("view", "feature", "served", "recomputed").rows() == [
        ("order", "heavy", "false", "true")
    ]


def test_where_no_build_counts_every_value_is_null():
    found = compare(HONEST["an expired build"], HONEST["no build"], table=[])
    assert (found.differing.height, found.fresh_values) == (0, 2)  # the lookups


def test_the_worst_feature_is_the_one_that_differs_most_often():
    wrong = [answered("10:15", stored=["b", 2, 7.0, 3.25]), answered("10:16", stored=["x", 2, 7.0, 3.25])]
    record = compare(*wrong).record("late", "2024-03")
    assert (record.differing, record.worst_feature) == (3, "courier.late_sum_1h")


def test_features_of_another_version_are_not_asked_for():
    class Smaller(Model):
        features = ("deliveries_count_1h",)

    frame = log(answered("10:15", stored=[None, 2, None, None]))
    known = {"courier": KnownFacts(VIEW, BUILDS, lambda version: TABLE[version].lazy(), None)}
    found = find_skew(frame, [VIEW, ORDER], known, {"1": Smaller()}, key=["order"], time="asked_at", spine=SPINE)
    assert found.differing.is_empty()
    assert found.values == 3  # the feature, score and prediction


def test_nothing_to_compare_is_no_skew():
    found = compare(log(answered("10:15", stored=["b", 2, 6.5, 3.25])).clear())
    assert (found.rows, found.values, found.differing.height) == (0, 0, 0)
    assert found.record("late", "2024-03").passed


def test_a_sample_is_of_answers_that_were_given_and_can_be_computed_again():
    rows = [answered("10:15", stored=[None] * 4, request_id=f"r{number:02}") for number in range(20)]
    rows += [answered("10:15", stored=[None] * 4, request_id="shadow", role="shadow")]
    rows += [answered("10:15", stored=[None] * 4, request_id="bare", given={})]
    rows += [answered("10:15", stored=[None] * 4, request_id="canary", role="canary")]
    everything = sample_answers(log(*rows), ["order"], 100, seed=1)
    assert set(everything["request_id"]) == {*(f"r{number:02}" for number in range(20)), "canary"}
    some = sample_answers(log(*rows), ["order"], 5, seed=1)
    assert some.height == 5
    assert sample_answers(log(*reversed(rows)), ["order"], 5, seed=1).equals(some)
    assert not sample_answers(log(*rows), ["order"], 5, seed=2).equals(some)
