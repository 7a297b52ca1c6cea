"""Rows of a request share what is looked up: of each row it is what it would be alone, to the last bit."""

from collections import Counter
from datetime import timedelta

import numpy as np
import orjson
import polars as pl
import pytest

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.build import build_view
from ml_assets.online.lookup import FetchedRows, FoundOfView, OnlineFeatures
from ml_assets.scoring.predictor import Predictor
from ml_assets.scoring_core.rows import InvalidRows
from ml_assets.serving.http.observability.row_counts import RowCounts
from ml_assets.serving.log.row_parts import rendered_row_parts, row_parts
from ml_assets.serving.prediction.requirement import Requirement
from ml_assets.serving.prediction.shared_features import SharedFeatures, encode_features
from ml_assets.serving.spec import RequireSpec
from ml_assets_tests.serving.conftest import NOON, ROUTE

STOP = FeatureViewSpec(
    name="stop", description="Of a courier at a depot.", entity=["courier", "depot"], table="stops", known_at="at",
    latest={"minutes": "minutes"}, ttl="2h",
)  # fmt: skip
DAY = FeatureViewSpec(
    name="day", description="Of all.", entity=[], table="days", known_at="at", latest={"rain": "rain"}
)
NEVER = FeatureViewSpec(
    name="never", description="Not built.", entity=["courier"], table="nothing", known_at="at", latest={"no": "no"}
)
STOPS = pl.LazyFrame(
    {"courier": ["ann", "ann", "bob"], "depot": [1, 2, 1], "at": [NOON - timedelta(hours=1)] * 3, "minutes": [4, 5, 6]},
    schema_overrides={"at": pl.Datetime("us", "UTC")},
)
ROWS = [
    {"courier": courier, "depot": depot}
    for courier in ("ann", "bob", "zoe", None, "ann", "ann")
    for depot in (1, 2, None, 1)
]


@pytest.fixture
def looked_up(store):
    build_view(store, STOP, STOPS, as_of=NOON, max_age=timedelta(days=1), build="stops")
    build_view(
        store, DAY, STOPS.head(1).select("at", rain=pl.lit(0.25)), as_of=NOON, max_age=timedelta(days=1), build="days"
    )
    return OnlineFeatures(store, [ROUTE, STOP, DAY, NEVER])


@pytest.fixture
def fetched(looked_up, noon):
    return looked_up.fetch(ROWS, noon)


def test_each_row_is_looked_up_as_alone(looked_up, fetched, noon):
    alone = [looked_up.fetch([row], noon)[0] for row in ROWS]
    assert len(fetched) == len(ROWS)
    assert list(fetched) == alone == [fetched[at] for at in range(len(ROWS))]
    assert fetched[2:9] == alone[2:9]
    assert {state for row in alone for state in row.states.values()} == {"fresh", "unseen", "missing"}
    assert {row.values["minutes"] for row in alone} == {4, 5, 6, None}


def test_each_entity_is_read_once(looked_up, store, noon, monkeypatch):
    read, asked = store.read, []
    monkeypatch.setattr(store, "read", lambda keys, at: asked.extend(keys) or read(keys, at))
    looked_up.fetch(ROWS, noon)
    entities = len({row["courier"] for row in ROWS}), len({tuple(row.values()) for row in ROWS})
    assert (len(asked), len(set(asked))) == (2 * entities[0] + entities[1] + 1,) * 2


def test_rows_of_no_view_are_looked_up_too(store, noon):
    bare = OnlineFeatures(store, []).fetch(ROWS, noon)
    assert [row.values for row in bare] == [{}] * len(ROWS)


def test_states_and_ages_are_counted_as_row_by_row(fetched, noon):
    def counted(rows):
        counts = RowCounts()
        counts.count("late", type("Response", (), {"parts": (), "fetched": rows, "at": noon, "fallback": ""}))
        return dict(counts.states), {view: list(ages.cells) for view, ages in counts.ages.items()}

    assert counted(fetched) == counted(list(fetched))
    wanted = Counter(("late", view, state) for row in fetched for view, state in row.states.items())
    assert counted(fetched)[0] == wanted


@pytest.mark.parametrize("share", [0.1, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("views", [[], ["stop", "never"]])
def test_what_falls_short_is_said_as_row_by_row(fetched, share, views):
    requirement = Requirement(RequireSpec(share=share, views=views))
    assert requirement.shortfall(fetched) == requirement.shortfall(list(fetched))


def shared(own, *views):
    """Features of rows, of which each view has some: (values of each entity, of each row which entity)."""
    found = [
        FoundOfView([(f"v{at}", "fresh", values, 5, ("b", 1), 7) for values in entities], places)
        for at, (entities, places) in enumerate(views)
    ]
    return SharedFeatures(own, FetchedRows(len(own), found))


def test_features_are_encoded_as_row_by_row(models):
    predictor, random = Predictor(models["late"]), np.random.default_rng(0)
    own = [{"express": [True, False, None][at % 3], "unused": "x"} for at in range(50)]
    entities = [{"km": km} for km in [*random.normal(0, 1e6, 10).tolist(), None, 0.1, -0.0, 7]]
    couriers = [{"courier": name, "more": 1} for name in ("ann", "cleo", "dora", None)]
    features = shared(
        own, (entities, random.integers(0, 14, 50).tolist()), (couriers, random.integers(0, 4, 50).tolist())
    )
    by_row = predictor.encode_features(list(features))
    assert encode_features(predictor, features).tobytes() == by_row.tobytes()
    assert encode_features(predictor, features[3:9]).tobytes() == by_row[3:9].tobytes()


def test_what_is_looked_up_stands_for_a_feature_of_the_same_name(models):
    predictor = Predictor(models["late"])
    features = shared([{"express": True, "km": 1.0, "courier": "ann"}] * 2, ([{"km": 2.0}, {"km": 3.0}], [1, 0]))
    assert [row["km"] for row in features] == [3.0, 2.0]
    assert encode_features(predictor, features)[:, 0].tolist() == [3.0, 2.0]
    assert [orjson.loads(orjson.dumps(row.features))["km"] for row in written(features)] == [3.0, 2.0]


def test_a_value_that_cannot_be_encoded_is_named_with_its_row(models):
    features = shared([{"express": True, "courier": "ann"}] * 3, ([{"km": 1.0}, {"km": "far"}], [0, 0, 1]))
    with pytest.raises(InvalidRows, match="row 2, feature km: must be a number or null, not 'far'"):
        encode_features(Predictor(models["late"]), features)


def written(features):
    return rendered_row_parts(features, features.fetched)


def test_parts_of_logged_rows_are_written_as_row_by_row(fetched):
    own = [{"express": at % 2 == 0, "at": NOON} for at in range(len(ROWS))]
    for features in (SharedFeatures(own, fetched), SharedFeatures([{}] * len(ROWS), fetched)):
        plain = row_parts(features, fetched)
        assert orjson.dumps([tuple(row) for row in written(features)]) == orjson.dumps([tuple(row) for row in plain])
        assert {"stop", "never"} & plain[0].versions.keys() == {"stop"}


def test_features_of_who_answers_in_a_models_place_are_not_what_was_looked_up_for_it(fetched):
    features = shared([{"express": True}] * len(ROWS), ([{"km": 2.0}], [0] * len(ROWS)))
    rendered = rendered_row_parts(features, fetched)
    assert [orjson.loads(orjson.dumps(row.features)) for row in rendered] == [{"express": True, "km": 2.0}] * len(ROWS)
    assert orjson.dumps([row.states for row in rendered]) == orjson.dumps([row.states for row in fetched])


def test_a_value_that_cannot_be_written_leaves_the_other_rows_as_they_are(fetched):
    own = [{"express": True}] * (len(ROWS) - 1) + [{"express": object()}]
    features = SharedFeatures(own, fetched)
    assert written(features) == row_parts(features, fetched)
