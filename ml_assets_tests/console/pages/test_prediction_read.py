"""Why a row got its score: the numbers held against the lake, brute force and the library."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from ml_assets.console.pages.prediction.path import SHOWN, path_of, same
from ml_assets.console.pages.prediction.query import PredictionQuery, WrongQuestion, typed_key
from ml_assets.console.pages.prediction.read import read_prediction
from ml_assets.console.pages.prediction.scored import find_answers, recent
from ml_assets.console.pages.prediction.what_if import read_changes
from ml_assets.training.encoding import Encoding, FeatureEncoding
from ml_assets.training.fit import predict


def none(_table: str) -> frozenset[str]:
    return frozenset()


def read(shop, place=5, private=none, **asked):
    question = PredictionQuery("returns", shop.key(place), **{"scored": "batch"} | asked)
    return read_prediction(shop.lake, shop.context, question, shop.load, private)


def row_of(shop, place=5) -> dict:
    return shop.features.filter(pl.col("_drop") == "2024-03").row(place, named=True)


def test_a_prediction_has_the_score_the_features_and_the_outcome_that_the_lake_has(shop, about):
    page, row = read(shop), row_of(shop)
    stored = shop.lake.scan("returns/predictions").filter(pl.col("id") == row["id"]).collect().row(0, named=True)
    assert page.answer.values == {"score": stored["score"], "prediction": stored["prediction"]}
    assert (page.answer.version, page.answer.drop, page.answer.at) == ("1", about.march, about.scored_at)
    assert {f.name: f.value for f in page.features} == {name: row[name] for name in shop.registry.trained.features}
    assert page.rescored == pytest.approx(stored["score"], abs=1e-12)
    assert page.same_features is True
    assert (page.outcome.column, page.outcome.value, page.outcome.known_at) == (
        "returned", row["returned"], row["settled_at"],
    )  # fmt: skip
    assert page.key == {"id": str(row["id"])}


def test_contributions_add_up_to_the_log_odds_of_the_score(shop):
    page = read(shop)
    score = page.rescored
    assert page.explanation.margin == pytest.approx(np.log(score / (1 - score)), abs=1e-5)
    assert page.explanation.margin == page.explanation.base + sum(f.contribution for f in page.features)


def test_other_features_than_those_that_were_scored_are_said_to_be_others(shop):
    hashed = shop.lake.scan("returns/predictions").collect()
    lake = type(shop.lake)(shop.lake.root)
    lake_scan = shop.lake.scan

    def scan(key, *_):
        return hashed.with_columns(features_hash=pl.lit(1)).lazy() if key == "returns/predictions" else lake_scan(key)

    object.__setattr__(lake, "scan", scan)
    question = PredictionQuery("returns", shop.key(), scored="batch")
    assert read_prediction(lake, shop.context, question, shop.load, none).same_features is False


def test_a_served_answer_has_its_features_as_served(shop, about):
    question = PredictionQuery("returns", shop.key(0))
    page = read_prediction(shop.lake, shop.context, question, shop.load, none)
    assert (page.answer.scored, page.answer.request, page.answer.role) == ("served", "q1/0", "champion")
    assert page.answer.at == about.scored_at + timedelta(hours=1)
    assert next(f.value for f in page.features if f.name == "price") == 99.5
    assert page.rescored == pytest.approx(page.answer.values["score"])
    assert [other.scored for other in page.others] == ["batch"]
    assert page.outcome.value == row_of(shop, 0)["returned"]
    batch = read(shop, 0)
    assert next(f.value for f in batch.features if f.name == "price") == row_of(shop, 0)["price"]
    assert [(other.scored, other.request) for other in batch.others] == [("served", "q1/0")]


WINDOW = timedelta(days=28)


def known(shop, place=5) -> pl.DataFrame:
    """The customer's orders that had settled by the row's time."""
    row = row_of(shop, place)
    own = shop.orders.filter(pl.col("customer") == row["customer"])
    return own.filter(pl.col("settled_at") <= row["placed_at"]).sort("settled_at", "id")


def in_window(shop, place=5) -> pl.DataFrame:
    return known(shop, place).filter(pl.col("settled_at") > row_of(shop, place)["placed_at"] - WINDOW)


@pytest.mark.parametrize(
    ("feature", "rows", "value"),
    [
        ("spent_sum_28d", in_window, lambda rows: rows["amount"].sum()),
        ("spent_count_28d", in_window, lambda rows: rows.height),
        ("back_mean_28d", in_window, lambda rows: rows["returned"].mean()),
        ("last_amount", lambda s: known(s).tail(1), lambda rows: rows["amount"][0]),
        (
            "amount_week_ago",
            lambda s: known(s).filter(pl.col("settled_at") <= row_of(s)["placed_at"] - timedelta(days=7)).tail(1),
            lambda rows: rows["amount"][0],
        ),
    ],
)
def test_the_path_of_a_value_ends_at_the_rows_that_made_it(shop, feature, rows, value):
    path = read(shop, feature=feature).path
    made = rows(shop)
    shown = [(row["settled_at"], row["amount" if "back" not in feature else "returned"]) for row in path.rows]
    column = "amount" if "back" not in feature else "returned"
    assert made.height > 0
    assert (path.count, path.valued) == (made.height, made[column].count())
    assert sorted(shown) == sorted(made.select("settled_at", column).sort("settled_at").tail(SHOWN).iter_rows())
    assert path.more == max(made.height - SHOWN, 0)
    assert path.agrees is True
    assert path.recomputed == pytest.approx(value(made))
    assert path.table == "orders/validated"


def test_a_wrong_value_does_not_agree_with_its_rows(shop):
    view, row = shop.project.views["history"], shop.features.filter(pl.col("_drop") == "2024-03")[5]
    path = path_of(shop.lake, view, "spent_sum_28d", row, "placed_at", row["spent_sum_28d"][0] + 1)
    assert (path.agrees, path.recomputed) == (False, pytest.approx(row["spent_sum_28d"][0]))


def test_features_of_the_row_and_derived_ones_say_what_they_read(shop, about):
    price = read(shop, feature="price").path
    assert (price.rows, price.words) == (({"amount": row_of(shop)["price"]},), "amount, of the row to predict")
    assert read(shop, feature="at_weekday").path.rows == ({"placed_at": row_of(shop)["placed_at"]},)
    assert read(shop, feature="per_order").path.reads == ("spent_sum_28d", "spent_count_28d")
    who = read(shop, feature=f"who {about.hostile}").path
    assert who.rows == ({"customer": row_of(shop)["customer"]},)


def test_what_private_columns_hold_is_not_shown(shop):
    def private(table):
        return frozenset({"amount"}) if table == "orders/validated" else frozenset()

    page = read(shop, private=private)
    hidden = {feature.name for feature in page.features if feature.private}
    assert hidden == {"price", "last_amount", "amount_week_ago", "spent_sum_28d", "per_order"}  # a count shows nothing
    assert all(feature.value is None for feature in page.features if feature.private)
    path = read(shop, private=private, feature="spent_sum_28d").path
    assert path.private == ("amount",)
    assert (path.recomputed, path.agrees) == (None, True)
    assert all({*row} <= {"_drop", "customer", "settled_at"} for row in path.rows)
    counted = read(shop, private=private, feature="spent_count_28d").path
    assert counted.recomputed == counted.valued > 0
    assert all({*row} <= {"_drop", "customer", "settled_at"} for row in counted.rows)  # no row's value beside the count
    row = read(shop, private=private, feature="price").path
    assert (row.rows, row.private) == ((), ("amount",))


def test_what_if_scores_changed_features_with_the_same_version(shop):
    page = read(shop, changes={"price": "1.5", "spent_sum_28d": "null"})
    trained, row = shop.registry.trained, pl.DataFrame([row_of(shop)], infer_schema_length=None)
    after = row.with_columns(price=pl.lit(1.5), spent_sum_28d=pl.lit(None, pl.Float64))
    assert page.what_if.after.answer["score"] == pytest.approx(predict(trained, after)[0])
    assert page.what_if.score_change == pytest.approx(predict(trained, after)[0] - predict(trained, row)[0])
    before = row_of(shop)
    assert page.what_if.changes == {"price": (before["price"], 1.5), "spent_sum_28d": (before["spent_sum_28d"], None)}
    moved = {name: (was, now) for name, was, now in page.what_if.moved}
    assert moved["price"][0] == page.explanation.contributions["price"]
    changes = [abs(now - was) for _, was, now in page.what_if.moved]
    assert changes == sorted(changes, reverse=True)
    assert page.what_if.after.margin - page.what_if.before.margin == pytest.approx(
        sum(now - was for _, was, now in page.what_if.moved)
    )


ENCODING = Encoding(
    features=(
        FeatureEncoding(name="n", kind="number"),
        FeatureEncoding(name="b", kind="boolean"),
        FeatureEncoding(name="c", kind="category", vocabulary=("x", "y")),
        FeatureEncoding(name="d", kind="category", vocabulary=("null",)),
    )
)


def test_changed_features_are_read_by_their_kinds():
    changes = read_changes(ENCODING, {"n": " 1e3 ", "b": "Yes", "c": "z", "d": "null"})
    assert (changes.values, changes.unseen) == ({"n": 1000.0, "b": True, "c": "z", "d": "null"}, ("c",))
    nothing = read_changes(ENCODING, {"n": "null", "b": "null", "c": "null"})
    assert (nothing.values, nothing.unseen) == ({"n": None, "b": None, "c": None}, ())


def test_every_mistake_is_in_one_message():
    with pytest.raises(WrongQuestion) as raised:
        read_changes(ENCODING, {"n": "much", "b": "maybe", "e": "1", "c": "x"})
    assert str(raised.value) == (
        "what if: n: 'much' is no number; null stands for no value; b: 'maybe' is neither true nor false; null stands "
        "for no value; e is no feature of this version"
    )


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e39"])
def test_a_number_that_no_model_holds_is_refused(text):
    with pytest.raises(WrongQuestion, match="is not finite, or beyond what a model can hold"):
        read_changes(ENCODING, {"n": text})


def test_a_mistake_leaves_the_rest_of_the_page(shop):
    page = read(shop, changes={"price": "dear"})
    assert page.mistake.startswith("what if: price: 'dear' is no number")
    assert page.what_if is None
    assert page.features
    assert read(shop, feature="costs").mistake == "feature 'costs': is none of this version"


TYPES = {"day": pl.Date(), "at": pl.Datetime("us", "UTC"), "n": pl.Int64(), "name": pl.String(), "flag": pl.Boolean()}


def test_a_key_is_read_in_the_types_of_its_columns():
    key = typed_key(["2024-02-29", "2024-02-29T12:00", "-7", "a b", "true"], list(TYPES), TYPES)
    assert pl.DataFrame([key], schema=TYPES).row(0) == tuple(key.values())
    assert (key["n"], key["name"], key["flag"]) == (-7, "a b", True)
    assert key["at"].isoformat() == "2024-02-29T12:00:00+00:00"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (["1"], "key: 1 values are given and 2 needed, of n, name: repeat key= for each, in this order"),
        (["x", "a"], "key: 'x' is no Int64 for column n"),
    ],
)
def test_a_key_that_is_none_is_answered_by_what_is_needed(key, message):
    with pytest.raises(WrongQuestion) as raised:
        typed_key(key, ["n", "name"], TYPES)
    assert str(raised.value) == message


def test_a_row_that_nobody_predicted_is_said_to_be_unknown(shop):
    question = PredictionQuery("returns", ("5",))
    assert find_answers(shop.lake, shop.context, question) == []
    with pytest.raises(WrongQuestion, match="no prediction of returns is known for 5"):
        read_prediction(shop.lake, shop.context, question, shop.load, none)
    with pytest.raises(WrongQuestion, match="no served prediction of returns is known"):
        read(shop, scored="served")


def test_without_a_key_the_highest_scores_of_the_newest_drop_are_listed(shop):
    listed = recent(shop.lake, shop.context)
    stored = shop.lake.scan("returns/predictions").collect().sort("score", descending=True)
    assert [row["score"] for row in listed] == stored["score"].head(20).to_list()
    assert {*listed[0]} == {"_drop", "id", "score", "model_version"}


def test_an_address_is_read_and_written_again():
    pairs = [("model", "m"), ("key", "a"), ("key", "b&c"), ("drop", "2024-01"), ("set.x", "1"), ("set.y", "")]
    question = PredictionQuery.of(pairs)
    assert (question.key, question.changes) == (("a", "b&c"), {"x": "1"})
    assert {*question.parameters()} == {*pairs[:5]}
    assert ("feature", "f") in question.parameters(feature="f")


def test_values_are_the_same_but_for_rounding():
    assert same(0.1 + 0.2, 0.3)
    assert same(None, float("nan"))
    assert same(True, 1)
    assert not same(None, 0)
    assert not same("1", 1)
    assert not same(1.0, 1.00001)
