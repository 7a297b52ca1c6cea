"""A Feast repository gives the engine's values at any time of its period."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_assets.features.engine.compute import compute_features
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features, stored_view
from ml_assets.handover.feast.moments import EVENT_TIME, EVERYTHING, NothingKnown, key_columns, values_over
from ml_assets.handover.feast.repository import ViewInLake, export_views, last_known
from ml_assets.handover.feast.text import WrittenView, render_definitions

pytestmark = pytest.mark.slow

MOMENT = pl.Datetime("us", "UTC")
BEGIN = datetime(2024, 5, 1, 10, tzinfo=UTC)
CLIENT = Path(__file__).with_name("feast_client.py")

SALES = FeatureViewSpec(
    name="sales", description="What the shop has been selling; it's \"busy\".", table="sales", entity=["shop"],
    known_at="at", windows=["1h"], owners=["team:shops"],
    aggregates={"sold": {"functions": ["count"]}, "amount": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
EVERY_KIND = FeatureViewSpec(
    name="history", description="Every kind of feature.", table="sales", entity=["shop", "number"],
    spine_keys={"number": "till"}, known_at="at", ttl="90m", order_by=["amount"],
    latest={"last_amount": "amount", "last_item": "item", "last_cash": "cash"}, windows=["30m", "2h"],
    aggregates={
        "amount": {"of": "amount", "functions": ["mean", "sum", "min", "max", "std"]},
        "pieces": {"of": "pieces", "functions": ["sum", "max", "count"]},
        "rows": {"functions": ["count"], "windows": ["2h"]},
    },
    request={"asked_hour": "EXTRACT(hour FROM asked_at)"},
)  # fmt: skip
ALL_SHOPS = FeatureViewSpec(
    name="all_shops", description="Everything together.", table="sales", known_at="at", windows=["1h"],
    aggregates={"all_amount": {"of": "amount", "functions": ["sum"]}},
)  # fmt: skip
SHOPS = FeatureViewSpec(
    name="shops", description="Where the shop is.", table="shops", entity=["shop"],
    lookups={"city": "city", "floors": "floors", "rent": "rent"},
)  # fmt: skip
ASKED = FeatureViewSpec(name="asked", description="The request.", entity=["shop"], request={"hour": "1"})
PLACES = pl.DataFrame({"shop": ["a", "b"], "city": ["Rome", None], "floors": [3, 1], "rent": [0.1, 2.5]})


def sales(minutes, shops, amounts) -> pl.DataFrame:
    """One row a sale; every fourth amount is missing."""
    return pl.DataFrame(
        {
            "shop": shops,
            "number": [len(shop) + at % 2 for at, shop in enumerate(shops)],
            "at": [BEGIN + timedelta(minutes=minute) for minute in minutes],
            "amount": [None if at % 4 == 3 else amount for at, amount in enumerate(amounts)],
            "pieces": [at % 3 for at in range(len(shops))],
            "item": [f"item {at % 5}" for at in range(len(shops))],
            "cash": [at % 2 == 0 for at in range(len(shops))],
        },
        schema={
            "shop": pl.String, "number": pl.Int32, "at": MOMENT, "amount": pl.Float64, "pieces": pl.Int32,
            "item": pl.String, "cash": pl.Boolean,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def many_sales() -> pl.DataFrame:
    random = np.random.default_rng(5)
    rows = 300
    minutes = random.integers(-600, 1200, rows)
    return sales(minutes.tolist(), random.choice(["a", "b", "c"], rows).tolist(), random.normal(0, 1e3, rows).tolist())


def of_engine(view, spine, facts, as_of):
    """What the engine says of a spine from the facts known by as_of."""
    kept = stored_view(view)
    known = facts if kept.known_at is None else facts.filter(pl.col("at") <= as_of)
    return compute_features(kept, spine.select(*kept.spine_entity, EVENT_TIME), known, time=EVENT_TIME).select(
        stored_features(kept)
    )


def differing(told: pl.DataFrame, engine: pl.DataFrame) -> list[str]:
    """Names of the features that differ: floats by more than 1e-9, relatively, all else at all."""
    found = []
    for column in engine:
        other = told[column.name].cast(column.dtype)
        equal = column.eq_missing(other)
        if column.dtype.is_float():
            equal |= ((column - other).abs() <= 1e-9 * column.abs()).fill_null(False)
        if not equal.all():
            found.append(column.name)
    return found


def test_a_row_for_each_change_by_hand():
    facts = sales([-200, 0, 30, 200], ["a"] * 4, [1.0, 5.0, 7.0, 9.0])
    rows, age = values_over(SALES, facts.lazy(), since=BEGIN, as_of=BEGIN + timedelta(hours=1),
                            until=BEGIN + timedelta(hours=2))  # fmt: skip
    changes = [0, 30, 60, 90, 120]
    at = rows.filter(pl.col(EVENT_TIME).is_in([BEGIN + timedelta(minutes=m) for m in changes]))
    assert at.rows() == [
        ("a", BEGIN, 1, 5.0),
        ("a", BEGIN + timedelta(minutes=30), 2, 12.0),
        ("a", BEGIN + timedelta(minutes=60), 1, 7.0),
        ("a", BEGIN + timedelta(minutes=90), 0, None),
        ("a", BEGIN + timedelta(minutes=120), None, None),
    ]
    # Four rows in two hours: said again every 30 minutes and a second.
    assert age == timedelta(seconds=1801)
    assert rows.height == 8
    assert rows[EVENT_TIME].diff().max() <= age


def test_an_age_of_days_is_a_whole_number_of_them():
    facts = sales([-10], ["a"], [1.0])
    _, age = values_over(SALES, facts.lazy(), since=BEGIN, as_of=BEGIN + timedelta(days=3),
                         until=BEGIN + timedelta(days=4, hours=2))  # fmt: skip
    assert age == timedelta(days=3), "two rows in four days and two hours"


@settings(max_examples=30, deadline=None)
@given(
    sold=st.lists(
        st.tuples(st.integers(-300, 300), st.sampled_from("abc"), st.floats(-100, 100)), min_size=1, max_size=25
    ),
    asked=st.lists(st.integers(0, 400 * 60), min_size=1, max_size=20),
)  # fmt: skip
def test_the_last_row_that_is_not_too_old_is_what_the_engine_says(sold, asked):
    facts = sales(*map(list, zip(*sold, strict=True)))
    as_of = BEGIN + timedelta(minutes=250)
    known = facts.filter(pl.col("at") <= as_of)
    for view in (EVERY_KIND, ALL_SHOPS):
        if known.is_empty():
            with pytest.raises(NothingKnown):
                values_over(view, facts.lazy(), since=BEGIN, as_of=as_of, until=BEGIN + timedelta(minutes=401))
            continue
        rows, age = values_over(view, facts.lazy(), since=BEGIN, as_of=as_of, until=BEGIN + timedelta(minutes=401))
        times = pl.Series(EVENT_TIME, [BEGIN + timedelta(seconds=second) for second in asked], MOMENT)
        spine = rows.select(key_columns(view)).unique().join(times.unique().to_frame(), how="cross").sort(EVENT_TIME)
        told = spine.join_asof(
            rows.sort(EVENT_TIME), on=EVENT_TIME, by=key_columns(view), tolerance=age, check_sortedness=False
        )
        assert differing(told, of_engine(view, spine, facts, as_of)) == []


def exported(facts, output, as_of):
    views = [
        ViewInLake(view, table.lazy() if table is not None else None, timedelta(hours=3))
        for view, table in ((SALES, facts), (EVERY_KIND, facts), (ALL_SHOPS, facts), (SHOPS, PLACES), (ASKED, None))
    ]
    return export_views("shop", views, output, since=BEGIN, as_of=as_of)


def test_a_repository_is_written_whole_and_says_what_it_lacks(many_sales, tmp_path):
    as_of = BEGIN + timedelta(hours=16)
    written = exported(many_sales, tmp_path / "shop", as_of)
    assert set(written.rows) == {"sales", "history", "all_shops", "shops"}
    assert written.left_out == {"asked": "it has features of the row only, which are computed from each request"}
    assert written.rows["shops"] == 2
    found = {str(p.relative_to(tmp_path / "shop")) for p in (tmp_path / "shop").rglob("*") if p.is_file()}
    assert found == {"README.md", "feature_store.yaml", "features.py", *(f"data/{v}.parquet" for v in written.rows)}
    readme = (tmp_path / "shop" / "README.md").read_text()
    assert "feast materialize 2024-05-01T10:00:00 2024-05-02T02:00:00\n" in readme
    assert "become null from 2024-05-02T05:00:00+00:00" in readme
    assert "- features of the row of `history`: asked_hour." in readme
    compile((tmp_path / "shop" / "features.py").read_text(), "features.py", "exec")
    with pytest.raises(ValueError, match="is there already"):
        exported(many_sales, tmp_path / "shop", as_of)


def test_a_view_that_feast_cannot_serve_is_left_out_by_name(many_sales, tmp_path):
    dated = SALES.model_copy(update={"name": "dated", "latest": {"last_at": "at"}})
    keyed = FeatureViewSpec(
        name="keyed", description="Known by a flag.", table="sales", entity=["cash"], known_at="at", windows=["1h"],
        aggregates={"sold": {"functions": ["count"]}},
    )  # fmt: skip
    late = SALES.model_copy(update={"name": "late"})
    views = [ViewInLake(view, many_sales.lazy(), timedelta(days=1)) for view in (dated, keyed)]
    views.append(ViewInLake(late, many_sales.filter(pl.col("at") > BEGIN).lazy(), timedelta(days=1)))
    views.append(ViewInLake(SALES, many_sales.lazy(), timedelta(days=1)))
    numbered = many_sales.with_columns(shop=pl.col("number"))
    views.append(ViewInLake(SALES.model_copy(update={"name": "other"}), numbered.lazy(), timedelta(days=1)))
    written = export_views("shop", views, tmp_path / "out", since=BEGIN - timedelta(hours=2), as_of=BEGIN)
    assert set(written.rows) == {"sales"}
    assert "last_at (Datetime(time_unit='us', time_zone='UTC')): Feast takes numbers" in written.left_out["dated"]
    assert "cash (Boolean): a Feast key is an integer or text" in written.left_out["keyed"]
    assert written.left_out["late"].startswith("its table holds no row that was known by 2024-05-01T10:00:00")
    assert written.left_out["other"] == "key shop is Int64 here and String in sales: cast it in a table"
    with pytest.raises(ValueError, match="none of the views of shop can be served by Feast"):
        export_views("shop", views[:2], tmp_path / "none", since=BEGIN, as_of=BEGIN)
    with pytest.raises(ValueError, match=r"since 2024-05-01T10:00:00\+00:00 is later than as_of"):
        export_views("shop", views, tmp_path / "none", since=BEGIN, as_of=BEGIN - timedelta(seconds=1))
    assert not (tmp_path / "none").exists()


def test_the_newest_fact_ends_the_period(many_sales):
    views = [ViewInLake(SALES, many_sales.lazy(), timedelta(0)), ViewInLake(SHOPS, PLACES.lazy(), timedelta(0))]
    assert last_known(views) == many_sales["at"].max()
    with pytest.raises(ValueError, match="no view has facts with a time: name the period"):
        last_known(views[1:])


def test_columns_of_any_name_become_variables():
    view = FeatureViewSpec(
        name="odd", description="Odd.", table="t", entity=["shop no.", "shop_no_"], known_at="at", windows=["1h"],
        aggregates={"sold": {"functions": ["count"]}},
    )  # fmt: skip
    schema = pl.Schema({"shop no.": pl.String, "shop_no_": pl.Int64, EVENT_TIME: MOMENT, "sold_count_1h": pl.Int64})
    text = render_definitions("odd", [WrittenView(view, schema, 1, timedelta(days=2), BEGIN)])
    compile(text, "features.py", "exec")
    assert (
        "shop_20_no_2e__entity = Entity(name='shop no.', join_keys=['shop no.'], value_type=ValueType.STRING)" in text
    )
    assert "ttl=timedelta(days=2)," in text


@pytest.mark.slow
def test_feast_serves_what_the_engine_says(many_sales, peers, tmp_path):
    as_of = BEGIN + timedelta(hours=16)
    repository = tmp_path / "shop"
    exported(many_sales, repository, as_of)
    random = np.random.default_rng(1)
    asked_at = [BEGIN + timedelta(seconds=int(second)) for second in random.integers(0, 18 * 3600, 200)]
    spine = pl.DataFrame(
        {
            "row": range(200),
            "shop": random.choice(["a", "b", "c", "nowhere"], 200),
            "till": random.integers(1, 3, 200),
            EVERYTHING: 1,
            EVENT_TIME: pl.Series(asked_at, dtype=MOMENT),
        }
    )  # fmt: skip
    spine.write_parquet(tmp_path / "spine.parquet")
    files = [tmp_path / f"{name}.parquet" for name in ("spine", "history", "online")]
    peers.run("python", CLIENT, BEGIN.isoformat()[:19], as_of.isoformat()[:19], *files, cwd=repository)
    history, online = (pl.read_parquet(file).sort("row") for file in files[1:])
    assert history["row"].to_list() == spine["row"].to_list()
    asked = spine.filter(pl.col("row").is_in(online["row"].to_list())).with_columns(
        pl.lit(as_of).cast(MOMENT).alias(EVENT_TIME)
    )
    seen = {}
    for view, facts in ((SALES, many_sales), (EVERY_KIND, many_sales), (ALL_SHOPS, many_sales), (SHOPS, PLACES)):
        for told, rows in ((history, spine), (online, asked)):
            known = rows["shop"] != "nowhere" if view.entity else pl.Series([True] * rows.height)
            engine = of_engine(view, rows, facts, as_of)
            assert differing(told.filter(known), engine.filter(known)) == []
            seen[view.name] = engine.filter(known).null_count().sum_horizontal().item()
            unknown = told.filter(~known).select(stored_features(view))
            assert unknown.null_count().row(0) == (unknown.height,) * unknown.width
    assert seen["history"] > 0, "some of what is compared is null"
