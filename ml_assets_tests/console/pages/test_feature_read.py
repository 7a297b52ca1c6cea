"""What the page of a feature says, held against independent computations."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats
from scipy.stats.contingency import association

from ml_assets.console.pages.feature.catalogue import search
from ml_assets.console.pages.feature.correlation import associate
from ml_assets.console.pages.feature.read import read_catalogue, read_feature
from ml_assets.console.pages.feature.use import FeatureDrift
from ml_assets.console.pages.feature.values import summarise, values_by_drop
from ml_assets.declarations.private import PrivateColumns
from ml_assets.features.made_of import as_declared, made_of
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.public.unknown import UnknownName


def none(_table: str) -> frozenset[str]:
    return frozenset()


RANDOM = np.random.default_rng(3)
GROUPS = RANDOM.integers(0, 4, 200)
ROWS = pl.DataFrame(
    {
        "x": RANDOM.normal(size=200).round(1),
        "y": RANDOM.normal(size=200) + GROUPS,
        "late": RANDOM.random(200) < 0.3,
        "kind": pl.Series(list("abcd")).gather(GROUPS),
        "colour": pl.Series(["red", "green"]).gather(RANDOM.integers(0, 2, 200)),
    }
).with_columns(gaps=pl.when(pl.col("x") > 0.5).then(pl.col("x")))


def coefficients(feature: str, outcome: str) -> dict[str, float | None]:
    return {each.coefficient: each.value for each in associate(ROWS[feature], ROWS[outcome])}


def test_of_two_numbers_the_coefficients_are_those_of_scipy():
    for outcome in ("y", "late"):
        x, y = ROWS["x"].to_numpy(), ROWS[outcome].cast(pl.Float64).to_numpy()
        wanted = {"Pearson": stats.pearsonr(x, y).statistic, "Spearman": stats.spearmanr(x, y).statistic}
        assert coefficients("x", outcome) == pytest.approx(wanted, abs=1e-12)


def test_of_a_text_and_a_number_it_is_the_root_of_the_spread_between_groups():
    ratio = {}
    for name, outcome in (("text first", ("kind", "y")), ("number first", ("y", "kind"))):
        ratio[name] = coefficients(*outcome)["correlation ratio"]
    values = [ROWS.filter(pl.col("kind") == kind)["y"].to_numpy() for kind in "abcd"]
    f = stats.f_oneway(*values).statistic
    between, within = 3, 200 - 4  # degrees of freedom: F = (share / 3) / ((1 - share) / 196)
    share = f * between / (f * between + within)
    assert ratio == pytest.approx({"text first": share**0.5, "number first": share**0.5}, abs=1e-12)


def test_of_two_texts_it_is_cramers_v_of_scipy():
    table = ROWS.pivot("colour", index="kind", values="x", aggregate_function="len").drop("kind").fill_null(0)
    assert coefficients("kind", "colour") == pytest.approx({"Cramér's V": association(table.to_numpy())}, abs=1e-12)


def test_rows_without_a_value_are_left_out_and_counted():
    gaps = ROWS["gaps"].null_count()
    pearson = associate(ROWS["gaps"], ROWS["late"])[0]
    both = ROWS.drop_nulls("gaps")
    assert (pearson.rows, pearson.left_out) == (200 - gaps, gaps)
    assert pearson.value == pytest.approx(np.corrcoef(both["gaps"], both["late"])[0, 1], abs=1e-12)
    nans = associate(ROWS["gaps"].fill_null(float("nan")), ROWS["late"])[0]
    assert nans == pearson


@pytest.mark.parametrize("outcome", [[1.0, 1.0, 1.0], [None, None, 2.0], ["a", "a", "a"]])
def test_what_never_varies_goes_with_nothing(outcome):
    for feature in ([1.0, 2.0, 3.0], ["a", "b", "c"]):
        values = [each.value for each in associate(pl.Series(feature), pl.Series(outcome))]
        assert values == [None] * len(values)


def test_numbers_are_summarised_without_what_is_missing():
    values = pl.Series([1.0, 2.0, 4.0, None, float("nan"), 2.0])
    summary = summarise("d", values)
    assert (summary.rows, summary.missing, summary.distinct, summary.missing_share) == (6, 2, 3, 2 / 6)
    assert summary.mean == 9 / 4
    assert summary.quantiles == pytest.approx(np.quantile([1, 2, 2, 4], [0.05, 0.25, 0.5, 0.75, 0.95]))
    assert summarise("d", pl.Series([True, False, None])).mean == 0.5


def test_texts_are_summarised_by_the_most_frequent():
    summary = summarise("d", pl.Series(["b", "a", "b", None, "c"]))
    assert summary.top == (("b", 0.5), ("a", 0.25), ("c", 0.25))
    assert (summary.mean, summary.quantiles, summary.missing) == (None, (), 1)
    assert summarise("d", pl.Series([None], dtype=pl.String)).top == ()


@pytest.mark.parametrize(
    ("feature", "field", "columns"),
    [
        ("last_amount", "latest", ("amount",)),
        ("amount_week_ago", "lags", ("amount",)),
        ("spent_count_28d", "aggregates", ("amount",)),
        ("back_mean_28d", "aggregates", ("returned",)),
        ("per_order", "derived", ("spent_sum_28d", "spent_count_28d")),
        ("at_weekday", "calendar", ()),
    ],
)
def test_a_feature_is_made_of_what_its_field_says(shop, feature, field, columns):
    made = made_of(shop.project.views["history"], feature)
    assert (made.field, made.columns) == (field, columns)


def test_the_declaration_of_one_feature_makes_that_feature_again(shop):
    view = shop.project.views["history"]
    for feature in view.feature_names:
        declared = as_declared(view, feature)["attributes"]
        if feature == "per_order":
            assert declared["derived"] == {"per_order": "spent_sum_28d / spent_count_28d"}
            continue
        declared.pop("spine")
        alone = FeatureViewSpec(**declared, description="")
        assert feature in alone.feature_names
        assert made_of(alone, feature) == made_of(view, feature)


def test_the_list_has_every_feature_with_its_worst_drift_first(shop, about):
    lines = read_catalogue(shop.project)
    report = shop.lake.scan("returns/drift_report").filter(pl.col("_drop") == about.march).collect()
    psi = dict(report.filter(pl.col("method") == "psi").select("feature", "value").iter_rows())
    assert {line.name for line in lines} == {*shop.context.features}
    assert {line.name: line.worst.psi for line in lines if line.worst} == psi
    worst = [(line.name, line.health) for line in search(lines, "", "worst")]
    who = f"who {about.hostile}"
    assert worst[:4] == [
        ("price", "drifting"),
        (who, "drifting"),
        ("last_amount", "watch"),
        ("spent_sum_28d", "steady"),
    ]
    assert {health for _, health in worst[4:]} == {"not watched"}
    by_name = [line.name for line in search(lines, "", "name")]
    assert by_name == sorted(by_name)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("PRICE", {"price"}),
        ("history mean", {"back_mean_28d"}),
        ("team:shop last", {"last_amount"}),
        ("returns price", {"price"}),
        ("customer count", {"spent_count_28d"}),
        ("<script> last", {"last_amount"}),
        ("nothing", set()),
    ],
)
def test_a_search_looks_at_name_view_entity_owner_and_model(shop, text, found):
    assert {line.name for line in search(read_catalogue(shop.project), text)} == found


def test_the_page_of_a_feature_says_what_the_lake_says(shop, stub_records, about):
    page = read_feature(shop.project, shop.registry, stub_records(), none, "history", "spent_sum_28d", about.now)
    stored = shop.lake.scan("features/history").collect()
    for drop in page.values.drops:
        of_drop = stored.filter(pl.col("_drop") == drop.drop)["spent_sum_28d"]
        assert (drop.rows, drop.missing) == (len(of_drop), of_drop.null_count())
        assert drop.mean == pytest.approx(of_drop.mean())
    assert [drop.drop for drop in page.values.drops] == about.drops
    assert yaml.safe_load(page.declared)["attributes"]["aggregates"]["spent"]["of"] == "amount"
    (use,) = page.uses
    assert (use.model, use.version, use.share, use.rank, use.ranked) == ("returns", "1", 0.3, 2, 3)
    reference = shop.lake.scan("returns/reference").collect().drop_nulls(["spent_sum_28d", "returned"])
    wanted = stats.pearsonr(reference["spent_sum_28d"], reference["returned"].cast(pl.Float64)).statistic
    assert use.associations[0].value == pytest.approx(wanted)
    assert (use.associations[0].rows, use.outcome) == (reference.height, "returned")
    assert use.measured_on == "returns/reference of version 1"
    drift = use.drift.filter(pl.col("method") == "psi")
    assert drift["value"].to_list() == pytest.approx([0.01, 0.1])
    assert drift["drop"].to_list() == about.drops[1:]


def test_stored_features_are_fresh_until_their_view_says_otherwise(shop, stub_records):
    written = shop.lake.written_at("features/history")
    states = {}
    for hours in (1, 20, 30):
        now = written + timedelta(hours=hours)
        page = read_feature(shop.project, shop.registry, stub_records(), none, "history", "last_amount", now)
        states[hours] = page.stored.freshness
    assert states == {1: "fresh", 20: "ageing", 30: "stale"}
    assert page.stored.newest == "2024-03"
    row = read_feature(shop.project, shop.registry, stub_records(), none, "order", "price", now)
    assert row.stored is None


def test_features_of_the_row_are_read_from_the_rows_and_derived_ones_nowhere(shop):
    view, spine = shop.project.views["history"], shop.project.spines["orders"]
    weekdays = values_by_drop(shop.lake, view, spine, "at_weekday", most=1)
    (drop,) = weekdays.drops
    march = shop.orders.filter(pl.col("_drop") == "2024-03")
    assert drop.mean == pytest.approx(march["placed_at"].dt.weekday().mean())
    assert (weekdays.left_out, weekdays.of) == (2, "rows of orders/validated")
    assert values_by_drop(shop.lake, view, spine, "per_order") is None
    who = next(name for name in view.request)
    (texts,) = values_by_drop(shop.lake, view, spine, who, most=1).drops
    shares = march["customer"].value_counts(normalize=True)
    assert dict(texts.top) == pytest.approx(dict(shares.iter_rows()))


def test_lineage_goes_down_to_the_columns_of_the_source(shop, stub_records, about):
    page = read_feature(shop.project, shop.registry, stub_records(), none, "history", "spent_sum_28d", about.now)
    assert [(step.depth, step.table, step.column, step.role, step.source) for step in page.lineage] == [
        (0, "orders/validated", "amount", "value", "orders"),
        (0, "orders/validated", "customer", "key", "orders"),
        (0, "orders/validated", "settled_at", "known at", "orders"),
    ]


def test_lineage_goes_through_what_sql_made(shop):
    from ml_assets.console.pages.feature.lineage import trace

    mart = {"amount": [("stg", "price"), ("stg", "tax")], "customer": [], "unknown": [("far", "x")]}
    made = {"mart": mart, "stg": {"price": [("orders/validated", "amount")], "tax": [("orders/validated", "amount")]}}
    records = SimpleNamespace(lineage=lambda key: made.get("/".join(key), {}))
    view = shop.project.views["history"].model_copy(update={"table": "mart"})
    sources = {"orders/validated": shop.project.sources["orders"]}
    steps = trace(view, shop.project.spines["orders"], "spent_sum_28d", sources, records)
    assert [(s.depth, s.table, s.column, s.source, s.more[:12]) for s in steps] == [
        (0, "mart", "amount", "", ""),
        (1, "stg", "price", "", ""),
        (2, "orders/validated", "amount", "orders", "path /"),
        (1, "stg", "tax", "", ""),
        (2, "orders/validated", "amount", "orders", "path /"),
        (0, "mart", "customer", "", "made of no c"),
        (0, "mart", "settled_at", "", "no run recor"),
    ] or steps[2].more.startswith("path /")


def test_what_sql_makes_of_a_private_column_is_private(monkeypatch):
    made = {"mart": {"a": [("src/validated", "email")], "b": [("src/validated", "id")]}, "top": {"c": [("mart", "a")]}}
    records = SimpleNamespace(lineage=lambda key: made.get("/".join(key), {}))
    monkeypatch.setattr("ml_assets.quality.contracts.load_contract", lambda reference: reference)
    monkeypatch.setattr("ml_assets.quality.contracts.private_columns", lambda _: frozenset({"email"}))
    private = PrivateColumns({"src/validated": "m:C"}, lambda table: records.lineage(table.split("/")))
    assert (private("src/validated"), private("mart"), private("top")) == ({"email"}, {"a"}, {"c"})
    assert private("elsewhere") == private("") == frozenset()


def test_a_feature_that_nothing_declares_is_answered_by_those_that_are(shop, stub_records, about):
    with pytest.raises(UnknownName, match="no feature of view history spent; there are"):
        read_feature(shop.project, shop.registry, stub_records(), none, "history", "spent", about.now)
    with pytest.raises(UnknownName, match="no feature view histor; did you mean history"):
        read_feature(shop.project, shop.registry, stub_records(), none, "histor", "spent", about.now)


def test_of_a_feature_that_shows_a_private_column_only_counts_are_shown(shop, stub_records, about):
    def private(table):
        return frozenset({"amount"}) if table == "orders/validated" else frozenset()

    def drops(feature):
        page = read_feature(shop.project, shop.registry, stub_records(), private, "history", feature, about.now)
        return page.private, page.values.drops

    hidden, values = drops("spent_sum_28d")
    assert hidden
    assert all((drop.mean, drop.quantiles, drop.top) == (None, (), ()) and drop.rows for drop in values)
    shown, counts = drops("spent_count_28d")
    assert not shown
    assert counts[-1].mean is not None


def test_of_many_models_those_that_a_feature_hurts_most_are_looked_at_closely(shop, stub_records, about, monkeypatch):
    monkeypatch.setattr("ml_assets.console.pages.feature.read.CLOSELY", 2)
    returns = shop.project.models["returns"]
    models = {name: returns.model_copy(update={"name": name}) for name in ("a", "b", "c", "returns")}
    project = shop.project.over(shop.lake)
    project.__dict__["models"] = models

    def drift_of(model):
        psi = {"b": 0.9, "c": 0.1, "returns": 0.3}
        return {} if model.name == "a" else {"price": FeatureDrift(model.name, "d", 1, 1, psi[model.name], 0.2)}

    def uses(model):
        about_price = ("order", "price", about.now)
        page = read_feature(project, shop.registry, stub_records(), none, *about_price, drift_of=drift_of, model=model)
        return [use.model for use in page.uses], page.line.models

    assert uses("") == (["b", "returns"], ("a", "b", "c", "returns"))
    assert uses("a")[0] == ["a"]
