from datetime import UTC, datetime

import polars as pl
import pytest

from ml_assets.features.assemble import join_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec

NOON, ONE = datetime(2020, 5, 1, 12, tzinfo=UTC), datetime(2020, 5, 1, 13, tzinfo=UTC)


def view(name="sales", feature="paid", **more):
    fields = {"entity": ["shop"], "table": "orders", "known_at": "at", "latest": {feature: "amount"}}
    return FeatureViewSpec(name=name, description="", **(fields | more))


def spine():
    return pl.DataFrame({"row": [1, 2, 3, 4], "shop": ["b", "a", None, "a"], "time": [NOON, NOON, NOON, ONE]})


def stored(feature="paid"):
    return pl.LazyFrame(
        {"shop": ["a", "a", "b", None], "time": [NOON, ONE, NOON, NOON], feature: [1.0, 2.0, 3.0, None]}
    )


def test_each_row_gets_the_features_of_its_own_entity_and_time_in_the_order_of_the_spine():
    joined = join_features(spine(), [(view(), stored())], time="time")
    assert joined["row"].to_list() == [1, 2, 3, 4]
    assert joined["paid"].to_list() == [3.0, 1.0, None, 2.0]
    assert joined.columns == ["row", "shop", "time", "paid"]


def test_several_views_stand_side_by_side():
    views = [(view(), stored()), (view("visits", "seen"), stored("seen"))]
    assert join_features(spine(), views, time="time").columns == ["row", "shop", "time", "paid", "seen"]


def test_a_row_that_a_view_was_not_computed_for_is_an_error_and_not_a_null():
    held = stored().filter(pl.col("time") == NOON)
    with pytest.raises(FeatureError, match=r"'sales' holds nothing for 1 of 4 rows.*materialize features/sales"):
        join_features(spine(), [(view(), held)], time="time")


def test_rows_stored_twice_do_not_multiply_the_spine():
    twice = pl.concat([stored(), stored()])
    assert join_features(spine(), [(view(), twice)], time="time").height == 4


def test_one_name_in_two_views_is_refused():
    with pytest.raises(FeatureError, match="'paid' is in views 'sales' and 'visits'"):
        join_features(spine(), [(view(), stored()), (view("visits"), stored())], time="time")


def test_a_feature_may_hand_on_a_spine_column_but_not_take_its_name_for_another_thing():
    plain = FeatureViewSpec(name="plain", description="", entity=["row"], request={"shop": "shop"})
    table = spine().lazy()
    assert join_features(spine(), [(plain, table)], time="time").columns == ["row", "shop", "time"]
    other = FeatureViewSpec(name="other", description="", entity=["row"], request={"shop": "UPPER(shop)"})
    with pytest.raises(FeatureError, match="'shop' bears the name of a spine column"):
        join_features(spine(), [(other, table)], time="time")
