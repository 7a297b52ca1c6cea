"""What is read of planned facts, built and pushed in whatever order, equals the engine over all of them at any time."""

from datetime import UTC, datetime, timedelta
from itertools import count

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.errors import FeatureError
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.online.audit import audit_build
from ml_assets.online.build import build_view
from ml_assets.online.facts.union import union_facts
from ml_assets.online.lookup import OnlineFeatures
from ml_assets.online.push import push_facts
from ml_assets.online.stores.opening import open_store
from ml_assets.online.values.record import microseconds

START = datetime(2024, 3, 1, tzinfo=UTC)
AS_OF = START + timedelta(minutes=5)
MAX_AGE = timedelta(minutes=9)
MOMENT = pl.Datetime("us", "UTC")
SEEDED = settings(
    derandomize=True, deadline=None, max_examples=10, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
SCHEMA = {"shop": pl.String, "thing": pl.Int64, "told_at": MOMENT, "begins": MOMENT, "ends": MOMENT, "rebate": pl.Int64}
PLAN = {
    "valid_at": "begins", "of_one": ["thing"], "withdrawn": "rebate = 0", "ahead": ["3m"],
    "aggregates": {"rebate": {"of": "rebate", "functions": ["count", "max"]}},
    "holding": {"now": {"of": "rebate"}, "soon": {"of": "rebate", "after": "2m"}},
}  # fmt: skip
BASE = {"description": "What is planned.", "table": "announced", "known_at": "told_at", "entity": ["shop"]}
VIEWS = {
    view.name: view
    for view in (
        FeatureViewSpec(name="intervals", planned=PLAN | {"valid_until": "ends"}, **BASE),
        FeatureViewSpec(name="moments", planned=PLAN, **BASE),
        FeatureViewSpec(
            name="with_windows", planned=PLAN | {"valid_until": "ends", "of_one": []}, windows=["2m"],
            aggregates={"told": {"functions": ["count"]}}, **BASE,
        ),
    )
}  # fmt: skip
ASKED = [{"shop": shop} for shop in ("a", "b", "unseen")]

moments = st.integers(0, 16).map(lambda minute: START + timedelta(minutes=minute))
fact = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from([1, 2]), moments, st.none() | moments, st.none() | moments,
    st.none() | st.integers(0, 3),
)  # fmt: skip
_names = count()


def frame(rows):
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = open_store(f"sqlite:///{tmp_path_factory.mktemp('planned')}/online.db")
    yield made
    made.close()


def assert_agrees(store, view, facts, begin):
    features = OnlineFeatures(store, [view])
    steps = [timedelta(minutes=m, microseconds=odd) for m in range(9) for odd in (-1, 0) if (m, odd) != (0, -1)]
    due = pl.DataFrame({"due": pl.Series([begin + step for step in steps], dtype=MOMENT)})
    spine = due.join(pl.DataFrame(ASKED), how="cross", maintain_order="left_right")
    expected = compute_features(view, spine, facts, time="due").select(stored_features(view)).rows(named=True)
    found = [row.values for at in due["due"] for row in features.fetch(ASKED, microseconds(at))]
    assert found == expected


@pytest.mark.parametrize("name", VIEWS)
@SEEDED
@given(st.lists(fact, min_size=1, max_size=8), st.lists(fact, max_size=3), st.integers(1, 5))
def test_what_is_read_is_what_the_engine_says(store, name, delivered, pushed, chunk):
    view = VIEWS[name].model_copy(update={"name": f"{name}_{next(_names)}"})
    table = frame(delivered)
    known = table.filter(pl.col("told_at") <= AS_OF)
    build = build_view(store, view, table.lazy(), as_of=AS_OF, max_age=MAX_AGE, build="one", chunk=chunk)
    assert_agrees(store, view, known, AS_OF)
    assert audit_build(store, view, build, known.lazy(), rows=10).differing.is_empty()
    for one in pushed:
        push_facts(store, view, frame([one]), arrived_at=microseconds(AS_OF))
    together = union_facts(known.lazy(), frame(pushed).lazy(), view).collect()
    assert_agrees(store, view, together, AS_OF)


def test_what_is_about_a_moment_of_the_row_is_not_built(store):
    view = FeatureViewSpec(
        name="then", planned=PLAN | {"holding": {"then": {"of": "rebate", "at": "target_at"}}}, **BASE
    )
    with pytest.raises(FeatureError, match="about target_at of the row to predict"):
        build_view(store, view, frame([]).lazy(), as_of=AS_OF, max_age=MAX_AGE, build="one")
