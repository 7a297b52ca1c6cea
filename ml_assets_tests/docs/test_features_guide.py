"""What the guide "Features" declares is taken, and its features are those that it names."""

import re
from pathlib import Path

import yaml

from ml_assets.declarations.specs import DeclaredView
from ml_assets.features.spec import FeatureViewSpec

GUIDE = (Path(__file__).parents[2] / "docs" / "features.md").read_text()
VIEWS = [
    DeclaredView(**yaml.safe_load(text)["attributes"]) for text in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
]


def test_the_declarations_are_taken_and_give_the_features_that_are_named():
    sales, recency, plans = VIEWS
    assert recency.feature_names == ["days_since_order"]
    assert sales.feature_names == [
        "price", "price_week_ago", "units_sum_7d", "units_sum_28d", "year_ago_sum_7d",
        "day_weekday", "day_month_end", "day_holiday", "day_days_to_holiday", "trend", "price_change",
    ]  # fmt: skip
    assert plans.feature_names == [
        "rebate_max_next_7d", "promotions_count_next_7d", "at_target_max_next_7d", "rebate_then", "rebate_in_a_week",
    ]  # fmt: skip
    named = set(re.findall(r"`(\w+_(?:sum|max|count)_\w+|rebate_\w+|price_\w+)`", GUIDE))
    assert named <= {name for view in VIEWS for name in view.feature_names}
    assert len(named) >= 4


def test_every_field_of_the_table_is_one():
    rows = re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)
    assert len(rows) == 9
    assert set(rows) <= {*FeatureViewSpec.model_fields}
