import base64
import io
import re
import struct
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest

from ml_assets.monitoring.report import heat_map
from ml_assets.monitoring.report import plots as report_plots
from ml_assets.monitoring.report.distributions import plot_distribution, plot_distributions
from ml_assets.monitoring.report.heat_map import plot_drift
from ml_assets.monitoring.report.kept import KeptPlots, Plot
from ml_assets.monitoring.report.plots import plot_performance
from ml_assets.monitoring.report.render import render_report
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.training.plots.figure import as_png

pytestmark = pytest.mark.slow

START = datetime(2021, 5, 1, tzinfo=UTC)
EVIL = "<script>alert('$x^$')</script>"
SPEC = MonitoringSpec(floors={"roc_auc": 0.7}, exclude=["<i>weekday</i>"])


def drift_table(features: int = 3, weeks: int = 4) -> pl.DataFrame:
    names = [EVIL, *(f"feature_{i}" for i in range(1, features))]
    generator = np.random.default_rng(0)
    spans = [("chunk", START + timedelta(days=7 * i), 7) for i in range(weeks)] + [("period", START, 7 * weeks)]
    rows = [
        {
            "chunk_start": start,
            "chunk_end": start + timedelta(days=days),
            "rows": 700,
            "scope": scope,
            "feature": name,
            "method": method,
            "value": 0.9 if name == EVIL else float(generator.random() * 0.1),
            "threshold": 0.2,
            "alert": name == EVIL,
        }
        for name in names
        for method in ("psi", "kolmogorov_smirnov")
        for scope, start, days in spans
        if (method, scope) != ("kolmogorov_smirnov", "period")
    ]
    return pl.DataFrame(rows)


def performance_table(known: bool = True) -> pl.DataFrame:
    spans = [("chunk", START + timedelta(days=7 * i), 7) for i in range(4)] + [("period", START, 28)]
    return pl.DataFrame(
        [
            {
                "chunk_start": start,
                "chunk_end": start + timedelta(days=days),
                "rows": 700 if known or kind == "estimated" else 0,
                "scope": scope,
                "kind": kind,
                "metric": "roc_auc",
                "value": None if kind == "realised" and not known else 0.65,
                "lower": 0.6 if kind == "estimated" else None,
                "upper": 0.7 if kind == "estimated" else None,
                "threshold": 0.7,
                "missing": None if kind == "estimated" else 41 if known else 741,
                "alert": kind == "estimated" or known,
            }
            for kind in ("estimated", "realised")
            for scope, start, days in spans
        ],
        schema_overrides={"value": pl.Float64},
    )


def report(**changes) -> str:
    given = {
        "model": f"late {EVIL}",
        "version": "<b>7</b>",
        "period": "2021-05",
        "drift": drift_table(),
        "performance": performance_table(),
        "spec": SPEC,
        "plots": {f"drift {EVIL}": Plot(plot_drift(drift_table()))},
    }
    return render_report(**given | changes)


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_fetches_nothing():
    text = report()
    elements = Elements(text).found
    assert {tag for tag, _ in elements}.isdisjoint({"script", "link", "iframe", "object", "embed", "base"})
    fetched = {"src", "href", "srcset", "data", "poster", "action", "background"}
    addresses = [value for _, attributes in elements for name, value in attributes.items() if name in fetched]
    assert len(addresses) == 1
    assert addresses[0].startswith("data:image/png;base64,")
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert re.search(r"https?:|url\(|@import", text) is None


def test_every_text_in_the_report_is_escaped():
    text = report()
    assert EVIL not in text
    assert "<b>7</b>" not in text
    assert "<i>weekday</i>" not in text
    words = Elements(text).words
    assert any(EVIL in word for word in words), "it is shown, as text"
    assert sum(tag == "img" for tag, _ in Elements(text).found) == 1


def test_the_report_says_what_happened_and_what_to_do():
    words = " ".join(Elements(report()).words)
    for expected in ("2021-05", "700", "realised roc_auc is 0.650, its limit 0.7", "Retrain", "0.900", "4 of 4"):
        assert expected in words


def named(text: str) -> list[str]:
    return [word for word in Elements(text).words if word == EVIL or word.startswith("feature_")]


def test_the_report_lists_features_by_drift_where_their_importance_is_not_known():
    psi = dict(drift_table(6).filter(method="psi", scope="period").select("feature", "value").iter_rows())
    assert named(report(drift=drift_table(6)))[-6:] == sorted(psi, key=psi.get, reverse=True)


def test_the_report_lists_features_by_impact_ten_open_and_the_others_folded():
    drift = drift_table(30)
    psi = dict(drift.filter(method="psi", scope="period").select("feature", "value").iter_rows())
    # The most drifted feature is one that the model hardly listens to.
    share = {name: 0.001 if name == EVIL else (i + 1) / 500 for i, name in enumerate(psi)}
    importance = pl.DataFrame({"feature": list(share), "share": list(share.values())})
    text = report(drift=drift, importance=importance)
    expected = sorted(psi, key=lambda name: psi[name] * share[name], reverse=True)
    assert named(text)[-30:] == expected
    open_, folded = text.split("<details>")
    assert named(open_)[-10:] == expected[:10]
    assert named(folded) == expected[10:]
    assert "The other 20 features" in folded


def test_the_report_counts_labels_that_are_missing():
    words = " ".join(Elements(report()).words)
    assert "700 labelled rows, 41 without a label" in words.replace("2,800", "700")
    assert "741 without a label" in " ".join(Elements(report(performance=performance_table(known=False))).words)


def test_the_report_says_when_the_realised_value_lies_outside_the_band_and_how_far_estimates_were_off():
    missed = performance_table().with_columns(
        pl.when(pl.col("kind") == "realised").then(0.55).otherwise("value").alias("value")
    )
    words = " ".join(Elements(report(performance=missed, before=missed)).words)
    assert "realised roc_auc is 0.550, outside the band 0.600 – 0.700" in words
    assert "off by 0.100 on average so far, by 0.100 at most" in words
    assert "(1 earlier period)" in words
    words = " ".join(Elements(report()).words)
    assert "outside the band" not in words
    assert "No earlier period has labels" in words


def test_the_report_compares_with_the_same_season_where_there_is_one():
    assert "cannot be told apart" in report()
    season = (
        drift_table()
        .filter(method="psi", scope="period")
        .with_columns(method=pl.lit("psi_season"), value=pl.lit(0.123), alert=pl.lit(False))
    )
    text = report(drift=pl.concat([drift_table(), season]))
    assert "cannot be told apart" not in text
    assert "a year before" in text
    assert "0.123" in text
    assert "0 of 3" in text, "what moved as it did a year before has not drifted"


def test_the_report_stands_without_labels():
    text = report(performance=performance_table(known=False))
    assert "–" in text
    assert "estimated roc_auc is 0.650" in text


def test_plots_are_embedded_unchanged():
    png = plot_drift(drift_table())
    assert base64.b64encode(png).decode() in report(plots={"drift": Plot(png)})


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


@pytest.mark.parametrize("features", [1, 3, 70])
def test_a_heat_map_is_small_and_grows_with_its_rows(features):
    png = plot_drift(drift_table(features))
    width, height = size_of(png)
    assert len(png) < 60_000
    assert width < 800
    assert 100 < height < 900


def figure_of(monkeypatch, module, draw):
    drawn = []
    monkeypatch.setattr(module, "as_png", lambda figure, **_: drawn.append(figure) or b"")
    draw()
    (figure,) = drawn
    figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize(("features", "weeks", "name"), [(1, 1, "x"), (70, 31, EVIL), (3, 90, "long name " * 20)])
def test_no_label_of_a_heat_map_is_cut_or_lies_on_another(monkeypatch, features, weeks, name):
    table = drift_table(features, weeks).with_columns(pl.col("feature").replace(EVIL, name))
    figure = figure_of(monkeypatch, heat_map, lambda: plot_drift(table))
    boxes = {text.get_text(): text.get_window_extent() for text in figure.axes[0].texts}
    assert name.strip() in {text.strip() for text in boxes}
    for text, box in boxes.items():
        assert min(box.x0, box.y0) >= 0, text
        assert (box.x1 <= figure.bbox.x1, box.y1 <= figure.bbox.y1) == (True, True), text
    several = list(boxes.values())
    assert not any(one.overlaps(other) for at, one in enumerate(several) for other in several[:at])


@pytest.mark.parametrize("times", [1.0, 1e7])
def test_no_label_of_a_timeline_is_cut(monkeypatch, times):
    table = performance_table().with_columns(pl.col("value", "lower", "upper", "threshold") * times)
    figure = figure_of(monkeypatch, report_plots, lambda: plot_performance(table, "roc_auc"))
    box = figure.axes[0].get_tightbbox()
    assert min(box.x0, box.y0) >= 0
    assert (box.x1 <= figure.bbox.x1, box.y1 <= figure.bbox.y1) == (True, True)
    assert figure.axes[0].bbox.width > 0.8 * figure.bbox.width


@pytest.mark.parametrize("known", [True, False])
def test_a_timeline_is_drawn_with_and_without_labels(known):
    png = plot_performance(performance_table(known), "roc_auc")
    assert size_of(png)[0] < 800
    assert len(png) < 60_000


@pytest.mark.parametrize(
    ("reference", "analysis"),
    [
        ([1.0, 2.0, 3.0, None, float("nan")], [2.0, 3.0, 1e9]),
        ([1.0, 1.0], [1.0]),
        ([1, 2, 3], [None, None, None]),
        ([True, False], [True, True]),
        (["a", "b", None, EVIL], ["c", "$^", None]),
        ([f"category {i}" for i in range(100)], ["category 1"]),
    ],
)
def test_distributions_of_any_kind_are_drawn(reference, analysis):
    before = pl.Series(reference, strict=False)
    png = plot_distribution(before, pl.Series(analysis, dtype=before.dtype, strict=False), EVIL)
    assert size_of(png)[0] < 800
    assert len(png) < 60_000


def test_a_heat_map_tells_much_drift_from_very_much():
    # The colours of 0.5 and of 8 were one: the scale ended at 0.4.
    def drawn(value):
        changed = pl.when(pl.col("feature") == "feature_1").then(value).otherwise("value")
        return pixels(plot_drift(drift_table().with_columns(value=changed), ["feature_1", "feature_2", EVIL]))

    def pixels(png):
        from matplotlib.image import imread

        return imread(io.BytesIO(png))

    low, high = drawn(0.5), drawn(8.0)
    row = low.shape[0] // 3
    assert not np.array_equal(low[row], high[row])


def test_several_distributions_are_drawn_side_by_side():
    reference = pl.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [True, False]})
    one, three = (plot_distributions(reference, reference, names) for names in (["a"], ["a", "b", "c"]))
    assert size_of(three)[1] == pytest.approx(2 * size_of(one)[1], abs=4)


def test_a_plot_is_the_same_each_time():
    assert plot_drift(drift_table()) == plot_drift(drift_table())


def test_chunks_of_too_few_rows_are_named_beside_what_is_measured_of_them():
    calm = drift_table().with_columns(alert=pl.lit(False), value=pl.lit(0.1))
    fine = performance_table().with_columns(alert=pl.lit(False))
    small = {"drift": calm, "performance": fine, "spec": MonitoringSpec(min_chunk_rows=1000), "plots": {}}
    assert "each of the 4 chunks has fewer than 1,000 rows" in report(**small)
    assert 'class="verdict watch"' in report(**small)
    assert "Not watched: each" not in report(**small | {"spec": MonitoringSpec()})


def test_a_page_keeps_the_plots_of_what_has_not_changed():
    rows = pl.DataFrame({"a": [1.0, None], "b": ["x", "y"], "at": [START, None]})
    calls = []

    def draw(*given):
        calls.append(given)
        return b"drawn %d" % len(calls)

    first = KeptPlots().plot(draw, rows, features=["a", "b"])
    assert (first.png, len(calls)) == (b"drawn 1", 1)
    kept = KeptPlots.of_page(report(plots={f"one {EVIL}": first, "another": Plot(b"never kept")}))
    assert list(kept.by_digest.values()) == [b"drawn 1"]
    assert kept.plot(draw, rows.clone(), features=["a", "b"]) == first
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("change", "features"),
    [
        (pl.col("a") * 2, ["a", "b"]),
        (pl.col("b").fill_null(""), ["a", "b"]),
        (pl.col("a").cast(pl.Float32), ["a", "b"]),
        (pl.col("a"), ["b", "a"]),
    ],
)
def test_what_shows_anything_else_is_drawn_anew(change, features):
    rows = pl.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    first = KeptPlots().plot(lambda *_: b"first", rows, features=["a", "b"])
    kept = KeptPlots.of_page(report(plots={"one": first}))
    assert kept.plot(lambda *_: b"second", rows.with_columns(change), features=features).png == b"second"


def test_plots_of_another_kind_are_not_taken_for_one_another():
    drift = drift_table()
    kept = KeptPlots({KeptPlots().plot(plot_drift, drift, features=["feature_1"]).shows: b"heat map"})
    assert kept.plot(plot_drift, drift, features=["feature_1"]).png == b"heat map"
    assert kept.plot(lambda *_: b"other", drift, features=["feature_1"]).png == b"other"


def test_a_plot_has_every_pixel_that_saving_the_figure_gives():
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(3, 2), dpi=90, layout="constrained")
    figure.subplots().plot([1, 3, 2])
    saved = io.BytesIO()
    figure.savefig(saved, format="png")
    given = [
        np.asarray(Image.open(io.BytesIO(png)).convert("RGBA")) for png in (saved.getvalue(), as_png(figure, None))
    ]
    np.testing.assert_array_equal(*given)
