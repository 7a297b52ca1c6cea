"""How far performance estimates are off, and how often their bands hold what came of it: per set and period.

`before` is NannyML on the reference alone, its band three sampling errors either way; `after` is what the platform
reports. Sets: those that NannyML ships, and every model of use case flights in the home (`ml-assets run flights
--train-as-of 2013-10-01` first). With `--cut-offs 2013-04,...` flight_delay is also trained as of the first of these
months, with the parameters of its first training and no search, and the three drops that follow are estimated.

    python benchmarks/estimates.py [--json] [--cut-offs MONTH,MONTH]

The exit code is 0.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from ml_assets.monitoring.performance.watch import estimate_performance, realise_performance
from ml_assets.monitoring.spec import MonitoringSpec

START = datetime(2020, 1, 1, tzinfo=UTC)
FOLLOWING = 3
"""Drops estimated after each cut-off."""


@dataclass(frozen=True)
class Series:
    """Rows of a reference and of the periods after it, with the columns that ``estimate_performance`` takes."""

    name: str
    reference: pl.DataFrame
    periods: dict[str, pl.DataFrame]
    columns: dict
    spec: MonitoringSpec


@dataclass(frozen=True)
class Line:
    """One estimate beside what came of it."""

    series: str
    period: str
    metric: str
    before: float
    before_low: float
    before_high: float
    after: float
    after_low: float
    after_high: float
    realised: float


def lines(series: Series) -> Iterator[Line]:
    """Estimate each period from the reference alone, and with what is known of those before it."""
    before: list[pl.DataFrame] = []
    record: list[pl.DataFrame] = []
    realised_columns = {name: value for name, value in series.columns.items() if name != "features"}
    for period, rows in series.periods.items():
        own = estimate_performance(
            series.reference,
            rows,
            earlier=pl.concat(before) if before else None,
            record=pl.concat(record) if record else None,
            spec=series.spec,
            **series.columns,
        )
        alone = own if not before else estimate_performance(series.reference, rows, spec=series.spec, **series.columns)
        known = realise_performance(rows, spec=series.spec, **realised_columns)
        values = dict(known.filter(scope="period").select("metric", "value").iter_rows())
        for metric in own["metric"].unique().sort():
            was, now = (found.filter(scope="period", metric=metric).row(0, named=True) for found in (alone, own))
            low, high = was["lower"] + was["margin"], was["upper"] - was["margin"]
            yield Line(series.name, period, metric, was["value"], low, high, now["value"], now["lower"], now["upper"],
                       values[metric])  # fmt: skip
        before.append(rows)
        record += [own, known]


def shipped_by_nannyml() -> Iterator[Series]:
    """NannyML's binary sets that have a score: in ten periods, or by year."""
    from ml_assets.monitoring import nml

    nannyml = nml.load()
    for name, load, label, score, key, periods in (
        ("car loan", nannyml.load_synthetic_car_loan_dataset, "repaid", "y_pred_proba", None, 5),
        ("employment", nannyml.load_us_census_ma_employment_data, "employed", "predicted_probability", "year", 0),
        ("housing", nannyml.load_modified_california_housing_dataset, "clf_target", "y_pred_proba", None, 10),
    ):
        reference, analysis, target = load()
        analysis = analysis.merge(target, on="id")
        frames = [pl.from_pandas(frame) for frame in (reference, analysis)]
        if key is None:
            size = -(-frames[1].height // periods)
            cut = {str(i + 1): frames[1].slice(i * size, size) for i in range(periods)}
        else:
            cut = {str(year): rows for (year,), rows in sorted(frames[1].group_by(key), key=lambda pair: pair[0])}
        typed = [_dated(rows, label, score, at) for at, rows in enumerate([frames[0], *cut.values()])]
        yield Series(
            name,
            typed[0],
            dict(zip(cut, typed[1:], strict=True)),
            {"probability": "score", "prediction": "called", "label": "label", "time": "at"},
            MonitoringSpec(chunk="28d", estimated_metrics=["roc_auc"], min_chunk_rows=100),
        )


def _dated(rows: pl.DataFrame, label: str, score: str, number: int) -> pl.DataFrame:
    """Rows of one period, spread over the four weeks that stand for it in the order in which they come."""
    start = START + number * timedelta(days=28)
    share = pl.int_range(pl.len()) / pl.len() * timedelta(days=28).total_seconds() * 1e6
    return rows.select(
        (pl.lit(start) + share.cast(pl.Int64).cast(pl.Duration("us"))).alias("at"),
        pl.col(score).cast(pl.Float64).alias("score"),
        (pl.col(score) >= 0.5).alias("called"),
        pl.col(label).cast(pl.Int8).alias("label"),
    )


def in_the_home(cut_offs: Sequence[str]) -> Iterator[Series]:
    """The drops that each model of the flights has scored, and those after each cut-off."""
    from ml_assets.automation.projects import spine_of
    from ml_assets.components.features.feature_view import FeatureView
    from ml_assets.components.model.ml_model import MLModel
    from ml_assets.home import Home
    from ml_assets.lake import Lake
    from ml_assets.modelling.context import ModelContext
    from ml_assets.modelling.records import VERSION
    from ml_assets.modelling.watched import reference_rows, scored_rows
    from ml_assets.project import load_current
    from ml_assets.settings import read_settings

    definitions, lake = load_current(), Lake(Home.of(read_settings()).lake)
    tree = definitions.component_tree
    views = {view.name: view for view in tree.get_all_components(of_type=FeatureView)}
    for model in tree.get_all_components(of_type=MLModel):
        if model.name not in ("flight_delay", "arrival_delay"):
            continue
        context = ModelContext.of(model, spine_of(definitions, model), [views[name] for name in model.features], "")
        columns = {
            "probability": "score", "prediction": "prediction", "label": model.label.column,
            "time": context.spine.time, "task": model.task, "features": context.features,
        }  # fmt: skip
        spec = model.monitoring.model_copy(update={"estimated_metrics": [model.metric]})
        drops = lake.partitions(context.watched, context.spine.partition)
        rows = {drop: scored_rows(lake, context, drop) for drop in drops}
        version = rows[drops[0]][VERSION][0]
        kept = {drop: frame for drop, frame in rows.items() if frame[VERSION][0] == version}
        yield Series(model.name, reference_rows(lake, context, version), kept, columns, spec)
        if model.name == "flight_delay":
            for month in cut_offs:
                yield _trained(lake, context, month, columns, spec)


def _trained(lake, context, month: str, columns: dict, monitoring: MonitoringSpec) -> Series:
    from ml_assets.training.fit import fit_model
    from ml_assets.training.predictions.scored import scored
    from ml_assets.training.splits import split_by_time

    spec, as_of = context.spec, datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    drops = context.drops(lake)
    rows = context.rows(lake, [drop for drop in drops if drop < month])
    first = lake.scan(context.key("tuned_parameters")).sort("_as_of").head(1).collect()
    parameters = json.loads(first["record"].item())["parameters"]
    split = split_by_time(rows, spine=spec.spine, label=spec.label, split=spec.split, as_of=as_of, task=spec.task)
    model = fit_model(
        split.train, split.validation, features=context.features, label=spec.label.column,
        parameters=parameters | spec.training.parameters, training=spec.training, metric=spec.metric, seed=spec.seed,
        task=spec.task, kind=spec.kind,
    )  # fmt: skip
    after = [drop for drop in drops if drop >= month][:FOLLOWING]
    periods = {drop: scored(context.rows(lake, [drop]), model) for drop in after}
    return Series(f"flight_delay as of {month}", scored(split.holdout, model), periods, columns, monitoring)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cut-offs", default="", help="months such as 2013-04,2013-07")
    given = parser.parse_args()
    found = []
    for make in (shipped_by_nannyml(), in_the_home([month for month in given.cut_offs.split(",") if month])):
        for series in make:
            for line in lines(series):
                found.append(line)
                if not given.json:
                    sys.stdout.write(row(line) + "\n")
    if given.json:
        sys.stdout.write(json.dumps([asdict(line) for line in found], indent=2) + "\n")
        return
    for name in ("before", "after"):
        off = [abs(getattr(line, name) - line.realised) for line in found if line.metric == "roc_auc"]
        held = [getattr(one, f"{name}_low") <= one.realised <= getattr(one, f"{name}_high") for one in found]
        sys.stdout.write(
            f"{name}: roc_auc off by {sum(off) / len(off):.4f} on average, {max(off):.4f} at most; the band holds"
            f" {sum(held)} of {len(held)}\n"
        )


def row(line: Line) -> str:
    def told(value: float, low: float, high: float) -> str:
        return f"{value:.3f} | {low:.3f} to {high:.3f}"

    before = told(line.before, line.before_low, line.before_high)
    after = told(line.after, line.after_low, line.after_high)
    return f"| {line.series} | {line.period} | {line.metric} | {before} | {after} | {line.realised:.3f} |"


if __name__ == "__main__":
    sys.exit(main())
