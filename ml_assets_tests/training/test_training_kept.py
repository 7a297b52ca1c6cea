import polars as pl
import pytest

from ml_assets.training.predictions.kept import CORRECTED, FEATURES_HASH, hash_features, keep_made

ON = ["id"]


def scored(ids, scores, price, version="2"):
    frame = pl.DataFrame({"id": ids, "score": scores, "model_version": [version] * len(ids), "price": price})
    return frame.with_columns(hash_features(frame, ["price"])).drop("price")


def test_what_was_said_stays_and_is_marked_where_features_are_others_now():
    made = scored([1, 2, 3], [0.1, 0.2, 0.3], [10.0, 20.0, 30.0], version="1")
    fresh = scored([3, 2, 1], [0.9, 0.8, 0.7], [30.0, 21.0, 10.0])
    kept = keep_made(fresh, made, ON)
    assert kept.select("id", "score", "model_version", CORRECTED).rows() == [
        (3, 0.3, "1", False), (2, 0.2, "1", True), (1, 0.1, "1", False),
    ]  # fmt: skip
    assert kept.columns == [*fresh.columns, CORRECTED]
    # The hash is still that of what a row was scored with: a correction that is taken back leaves no mark.
    again = keep_made(scored([3, 2, 1], [0.9, 0.8, 0.7], [30.0, 20.0, 10.0]), kept, ON)
    assert again[CORRECTED].to_list() == [False, False, False]
    assert again["score"].to_list() == [0.3, 0.2, 0.1]


def test_rows_that_come_later_are_scored_and_rows_that_go_are_gone():
    kept = keep_made(scored([2, 4], [0.8, 0.6], [20.0, 40.0]), scored([1, 2], [0.1, 0.2], [10.0, 20.0]), ON)
    assert kept.select("id", "score", CORRECTED).rows() == [(2, 0.2, False), (4, 0.6, False)]


@pytest.mark.parametrize("made", [pl.DataFrame(schema=["id"]), scored([], [], []).cast({"id": pl.Int64})])
def test_where_nothing_was_said_all_is_new(made):
    fresh = scored([1], [0.5], [10.0])
    assert keep_made(fresh, made, ON).equals(fresh.with_columns(pl.lit(False).alias(CORRECTED)))


def test_of_predictions_without_a_hash_it_is_not_known_what_they_were_made_with():
    made = scored([1], [0.1], [10.0]).drop(FEATURES_HASH)
    kept = keep_made(scored([1, 2], [0.9, 0.8], [10.0, 20.0]), made, ON)
    assert kept.select("score", CORRECTED).rows() == [(0.1, None), (0.8, False)]


def test_a_value_that_was_null_stays_null():
    made = scored([1], [None], [10.0]).cast({"score": pl.Float64})
    assert keep_made(scored([1], [0.9], [10.0]), made, ON)["score"].to_list() == [None]
