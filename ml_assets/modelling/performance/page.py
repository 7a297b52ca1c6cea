"""The report of one drop: a self-contained page beside the tables in the lake."""

from typing import TYPE_CHECKING, cast

import polars as pl

from ml_assets.lake import Lake
from ml_assets.modelling.context import ModelContext
from ml_assets.modelling.drift.false_alarms import read_false_alarms
from ml_assets.modelling.evaluation import kept_importance
from ml_assets.modelling.performance.measure import DropPerformance
from ml_assets.modelling.records import VERSION

if TYPE_CHECKING:
    from fsspec.core import OpenFile

    from ml_assets.monitoring.report.kept import KeptPlots, Plot


def write_report(lake: Lake, model: ModelContext, measured: DropPerformance, timeline: bytes) -> str:
    """Write one self-contained HTML file per drop, beside the tables in the lake; returns its address."""
    import fsspec

    from ml_assets.monitoring.drift.impact import rank_by_impact
    from ml_assets.monitoring.report.kept import Plot
    from ml_assets.monitoring.report.render import render_report

    drop = measured.drop
    stored = lake.scan(model.key("drift_report")).filter(pl.col(model.spine.partition) == drop)
    drift = stored.drop(model.spine.partition, VERSION).collect()
    importance = kept_importance(lake, model, measured.version)
    order = rank_by_impact(drift, importance)["feature"].to_list()
    address = f"{lake.uri(model.key('reports'))}/{drop}.html"
    page = render_report(
        model=model.spec.name,
        version=measured.version,
        period=drop,
        drift=drift,
        performance=measured.performance,
        measures=measured.measures,
        spec=model.monitoring,
        before=measured.before,
        importance=importance,
        false_alarms=alarms.sentence if (alarms := read_false_alarms(lake, model, drop)) else "",
        plots={
            f"{model.spec.watched_metric} by week": Plot(timeline),
            **_drift_plots(measured, drift, order, _kept_plots(address)),
        },
    )
    with cast("OpenFile", fsspec.open(address, "w", encoding="utf-8", auto_mkdir=True)) as file:
        file.write(page)
    return address


def _kept_plots(address: str) -> "KeptPlots":
    """Return the plots of a drop's page as it stands; none before there is one."""
    from fsspec.core import url_to_fs

    from ml_assets.monitoring.report.kept import KeptPlots

    files, path = url_to_fs(address)
    return KeptPlots.of_page(files.read_text(path, encoding="utf-8")) if files.exists(path) else KeptPlots()


def _drift_plots(
    measured: DropPerformance, drift: pl.DataFrame, order: list[str], kept: "KeptPlots"
) -> dict[str, "Plot"]:
    from ml_assets.monitoring.report.distributions import plot_distributions
    from ml_assets.monitoring.report.heat_map import plot_drift
    from ml_assets.monitoring.report.render import SHOWN

    if drift.is_empty():
        return {}
    shown = order[:SHOWN]
    rows = (frame.select(shown) for frame in (measured.reference, measured.rows))
    return {
        "The features of most impact: reference and this period": kept.plot(plot_distributions, *rows, features=shown),
        "PSI by week and feature, in the order of impact": kept.plot(plot_drift, drift, features=order),
    }
