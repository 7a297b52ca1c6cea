"""A declared model tried out in memory: nothing is registered, and only the outcome may be kept."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import dagster as dg
import polars as pl
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets.addresses import sqlite_url
from ml_assets.automation.projects import outcomes_in, spine_of, tree_of
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.sources.source import Source
from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.leaks.signs import find_signs
from ml_assets.leaks.tables import Tables
from ml_assets.modelling.context import ModelContext
from ml_assets.outcomes.engine.compute import compute_outcomes
from ml_assets.sources.spec import DROP
from ml_assets.spines.rows import MadeSpine, make_rows
from ml_assets.training.evaluation.leaks.bystanders import PLACE
from ml_assets.training.evaluation.leaks.finding import Finding
from ml_assets.training.evaluation.seasonal import Seasons
from ml_assets.training.kinds.lean import import_for
from ml_assets.training.records.tried import MeasuredMetric, TriedModel

TRIALS = 3
"""Most parameter sets that a trial run searches through."""
SHOWN = 3
"""Features shown that predict best alone."""


@dataclass(frozen=True)
class Trial:
    """What a try found.

    Attributes:
        rows: rows per part of the split.
        metrics: metric -> value of the model and of the naive baseline on the holdout.
        intervals: metric -> ends of the interval of the model's value.
        kind: what learned.
        parameters: of the estimator.
        features: what it learned from, in the model's order.
        suspects: feature, value, limit, suspicious: those that predict best alone, in `measure`.
        findings: signs of leaks.
        unchecked: what no gate could look at, in words.
        left_out: labelled rows that are in no part of the split, by reason.
        seconds: wall time.
        tables: a line for each table that was read: from the lake or from its source.
    """

    model: str
    rows: dict[str, int]
    metrics: dict[str, tuple[float, float]]
    suspects: pl.DataFrame
    measure: str
    findings: list[Finding]
    unchecked: list[str]
    left_out: dict[str, int]
    seconds: float
    tables: tuple[str, ...] = ()
    intervals: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    kind: str = ""
    parameters: Mapping[str, str | bool | int | float | None] = field(default_factory=dict)
    features: tuple[str, ...] = ()

    def record(self, tried_at: datetime) -> TriedModel:
        """Return what is kept of it.

        Args:
            tried_at: when it was tried, UTC.
        """
        without = (None, None)
        return TriedModel(
            model=self.model,
            tried_at=tried_at,
            kind=self.kind,
            rows=self.rows,
            parameters=self.parameters,
            features=self.features,
            metrics={
                name: MeasuredMetric(
                    value=own,
                    low=self.intervals.get(name, without)[0],
                    high=self.intervals.get(name, without)[1],
                    baseline=base,
                )
                for name, (own, base) in self.metrics.items()
            },
            signs_of_leaks=len(self.findings),
            seconds=self.seconds,
            tables=self.tables,
        )


def try_model(definitions: dg.Definitions, lake: Lake, model: MLModel, rows: int) -> Trial:
    """Take a model from declaration to holdout metrics on a seeded sample of ``rows`` labelled rows.

    A table that the lake does not hold is read from its source, through its contract.

    Raises:
        ValueError: a table is neither in the lake nor a source's, or the split leaves too few rows.
        SourceError, FeatureError: as in the assets.
    """
    from ml_assets.retraining.candidates import fit_as_of
    from ml_assets.training.evaluation.evaluate import evaluate
    from ml_assets.training.tasks import find_task

    began = time.perf_counter()
    import_for([model.kind])
    views = {view.name: view for view in tree_of(definitions).get_all_components(of_type=FeatureView)}
    own = [views[name] for name in model.features]
    context = ModelContext.of(model, spine_of(definitions, model), own, "", outcomes=outcomes_in(definitions))
    tree = tree_of(definitions)
    declared = _Tables(lake, tree.get_all_components(of_type=Source), tree.get_all_components(of_type=Spine))
    tables = Tables(lake, declared.scan)
    spec, read = context.spec, [view.table for view in context.views if view.table is not None]
    search = spec.search.model_copy(update={"trials": min(TRIALS, spec.search.trials)})
    spec = spec.model_copy(update={"search": search})
    spine = context.spine.rows_ahead(context.spine.weighed_rows(declared.labelled(context)))
    sample = _sample(spine, context, rows)
    featured = _with_features(sample, context, tables)
    with tempfile.TemporaryDirectory() as folder:
        as_of = _latest_cut_off(sample, context)
        studies = sqlite_url(Path(folder) / "studies.db")
        fitted = fit_as_of(featured, spec, context.features, as_of, studies, context.spine.sampled)
    task = find_task(spec.task)
    measured = evaluate(
        fitted.split.holdout,
        task.read_scores(fitted.reference, fitted.model.classes),
        fitted.baseline_score,
        label=spec.label.column,
        time=spec.spine.time,
        threshold=fitted.model.threshold,
        slices=[],
        evaluation=spec.evaluation.model_copy(update={"resamples": 100}),
        seed=spec.seed,
        task=spec.task,
        classes=fitted.model.classes,
        metrics=spec.extra_metrics,
        payoff=spec.payoff,
    )
    judged = find_signs(context, tables, spine, sample, fitted.split)
    values = measured.metrics.pivot("subject", index="metric", values="value")
    return Trial(
        model=spec.name,
        rows=fitted.split.rows,
        metrics={metric: (own, base) for metric, own, base in values.select("metric", "model", "baseline").iter_rows()},
        suspects=judged.suspects.head(SHOWN).rename({task.leak_metric: "value"}),
        measure=task.leak_metric,
        findings=judged.findings,
        unchecked=judged.unchecked,
        left_out={reason: count for reason, count in fitted.split.dropped.items() if count},
        seconds=time.perf_counter() - began,
        tables=tuple(declared.describe(key) for key in dict.fromkeys([context.spine.table, *read])),
        intervals={
            metric: (low, high)
            for metric, low, high in measured.metrics.filter(subject="model")
            .select("metric", "low", "high")
            .iter_rows()
        },
        kind=spec.kind,
        parameters=_plain(fitted.model.parameters),
        features=tuple(context.features),
    )


def _plain(parameters: Mapping[str, object]) -> dict[str, str | bool | int | float | None]:
    """Return parameters as they can be kept; what is no plain value as its text."""
    return {
        name: value if value is None or isinstance(value, str | bool | int | float) else str(value)
        for name, value in parameters.items()
    }


def as_json(trial: Trial) -> dict:
    """Return the trial as a JSON object."""
    return {
        "model": trial.model,
        "rows": trial.rows,
        "metrics": {name: {"model": own, "baseline": base} for name, (own, base) in trial.metrics.items()},
        "suspects": trial.suspects.with_columns(measure=pl.lit(trial.measure)).to_dicts(),
        "findings": [finding.as_row() for finding in trial.findings],
        "unchecked": trial.unchecked,
        "left_out": trial.left_out,
        "seconds": round(trial.seconds, 3),
        "tables": list(trial.tables),
    }


def print_trial(console: Console, trial: Trial) -> None:
    """Print the trial as two short tables, and each sign of a leak in words."""
    parts = ", ".join(f"{count:,} {part}" for part, count in trial.rows.items())
    console.print(f"{trial.model} tried in {trial.seconds:.1f} s on {parts} rows; nothing was registered")
    for table in trial.tables:
        console.print(table)
    if trial.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in trial.left_out.items())
        console.print(f"left out of the split: {reasons}")
    metrics = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("metric", "model", "baseline"):
        metrics.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, (own, base) in trial.metrics.items():
        metrics.add_row(name, f"{own:.4f}", f"{base:.4f}")
    console.print(metrics)
    alone = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    alone.add_column("best features alone")
    alone.add_column(trial.measure, justify="right")
    alone.add_column("leak?")
    for suspect in trial.suspects.iter_rows(named=True):
        suspected = f"suspected: {suspect['limit']:g} or more" if suspect["suspicious"] else ""
        alone.add_row(suspect["feature"], f"{suspect['value']:.4f}", suspected, style="bold red" if suspected else None)
    console.print(alone)
    _print_findings(console, trial)


def _print_findings(console: Console, trial: Trial) -> None:
    if not trial.findings:
        console.print("no sign of a leak")
    for finding in trial.findings:
        heading = "leak" if finding.certain else "leak?"
        console.print(
            f"[bold red]{heading}[/] [bold]{escape(finding.about)}[/] ({finding.gate}): {escape(finding.reason)}"
        )
        console.print(f"  {escape(finding.advice)}")
    for text in trial.unchecked:
        console.print(f"not checked: {escape(text)}")


@dataclass(frozen=True)
class _Tables:
    """Tables by asset key, from the lake or, where it has none, straight from their source, or made as a spine is."""

    lake: Lake
    sources: Sequence[DeclaredSource]
    spines: Sequence[Spine]
    _read: dict[str, pl.LazyFrame] = field(default_factory=dict, repr=False, compare=False)

    def scan(self, key: str) -> pl.LazyFrame:
        """Return a table, which is read, or made, once."""
        if key not in self._read:
            self._read[key] = self._scan(key)
        return self._read[key]

    def _scan(self, key: str) -> pl.LazyFrame:
        if self.lake.exists(key):
            return self.lake.scan(key)
        for source in self.sources:
            if key == source.table("validated"):
                return _gated(source)
        for spine in self.spines:
            if key == spine.table and spine.made is not None:
                return self._made(spine, spine.made)
        raise ValueError(f"table {key} is not in the lake {self.lake.root} and no source's: materialize {key} first")

    def describe(self, key: str) -> str:
        """Return where the rows of a table were read, and whether its source, of which they came, has any now."""
        if not self.lake.exists(key):
            made = next((spine for spine in self.spines if spine.table == key and spine.made is not None), None)
            how = "from its source" if made is None else f"made in memory of {made.comes_with} and the calendar"
            return f"{key}: {how}, nothing of it is in the lake"
        text = f"{key}: from the lake, version {self.lake.version(key)}"
        source = next((source for source in self.sources if key == source.table("validated")), None)
        return text if source is None else text + _state_of(source)

    def labelled(self, context: ModelContext) -> pl.LazyFrame:
        """Return the spine's rows with their labels; an outcome that the lake does not hold is computed in memory."""
        rows, outcome = self.scan(context.spine.table), context.outcome
        if outcome is None:
            return rows
        if self.lake.exists(outcome.key):
            return outcome.beside(self.lake, rows, context.spine)
        facts = self.scan(outcome.table)
        source = next((source for source in self.sources if source.table("validated") == outcome.comes_with), None)
        collected = rows.collect()
        until = outcome.completeness(self.lake, source, self.scan).until
        computed = compute_outcomes(outcome, collected, facts, context.spine.times, until)
        return collected.hstack(computed.select(outcome.name, outcome.known_at_column)).lazy()

    def _made(self, spine: Spine, made: MadeSpine) -> pl.LazyFrame:
        """Make the rows of every drop that has come, in memory."""
        followed = self.scan(spine.comes_with)
        column = next((name for name in (DROP, spine.partition) if name in followed.collect_schema()), None)
        if column is None:
            raise ValueError(f"{spine.comes_with} does not say which drops have come: materialize {spine.table} first")
        come = followed.select(pl.col(column).unique()).collect().to_series().sort().to_list()
        with tempfile.TemporaryDirectory(prefix="ml_assets-spine-") as folder:
            return make_rows(made, self.scan(made.entities.table), come, Path(folder)).rows.collect().lazy()


def _state_of(source: DeclaredSource) -> str:
    from ml_assets.sources.delivery.read import holds_anything
    from ml_assets.sources.errors import SourceError

    try:
        return "" if holds_anything(source) else f"; its source {source.name} holds nothing now"
    except SourceError as error:
        return f"; its source cannot be looked at: {error}"


def _gated(source: DeclaredSource) -> pl.LazyFrame:
    from ml_assets.quality.contracts import contract_schema, load_contract
    from ml_assets.quality.drop_gate import gate_drop
    from ml_assets.sources.delivery.read import read_drops

    contract = load_contract(source.contract)
    drops = read_drops(source, None, contract_schema(contract))
    if not drops:
        raise ValueError(f"source {source.name} holds no drop at {source.where.template}: nothing to try with")
    good: list[pl.DataFrame] = []
    for name, drop in drops.items():
        good.append(gate_drop(source, contract, name, drop.frame, [frame.lazy() for frame in good]).result.validated)
    return pl.concat(good).lazy()


def _sample(table: pl.LazyFrame, context: ModelContext, rows: int) -> pl.DataFrame:
    """Draw labelled rows, seeded, over the whole history: the split needs all of its parts.

    Where the baseline is seasonal, whole series are drawn, at least one: what a series was a season earlier is in it.
    """
    wanted = list(dict.fromkeys([context.spine.partition, context.spine.time, *context.columns]))
    wanted += [name for view in context.views for name in view.spine_columns if name not in wanted]
    label = context.spec.label
    place = pl.int_range(pl.len()).over(context.spine.partition) / pl.len().over(context.spine.partition)
    known = (
        table.select(*dict.fromkeys(wanted), place.alias(PLACE)).filter(
            pl.all_horizontal(pl.col(label.column, label.known_at).is_not_null())
        )
    ).collect()
    if known.is_empty():
        raise ValueError(f"{context.spine.table} has no row with a label {label.column} that is known")
    seasons = Seasons.of(context.spec)
    if seasons is not None:
        return _whole_series(known, list(seasons.series), rows, context.spec.seed).sort(context.spine.time)
    return known.sample(min(rows, known.height), seed=context.spec.seed).sort(context.spine.time)


def _whole_series(known: pl.DataFrame, series: list[str], rows: int, seed: int) -> pl.DataFrame:
    sizes = known.group_by(series, maintain_order=True).len().sample(fraction=1, shuffle=True, seed=seed)
    drawn = sizes.filter((pl.col("len").cum_sum() <= rows) | (pl.int_range(pl.len()) == 0))
    return known.join(drawn.select(series), on=series, how="semi", nulls_equal=True)


def _latest_cut_off(sample: pl.DataFrame, context: ModelContext) -> datetime:
    last = sample[context.spec.label.known_at].max()
    if not isinstance(last, datetime):
        raise ValueError(f"label.known_at: {context.spec.label.known_at} of {context.spine.table} holds no moments")
    return last


def _with_features(sample: pl.DataFrame, context: ModelContext, tables: Tables) -> pl.DataFrame:
    from ml_assets.features.assemble import ViewTables, join_features

    views = [
        ViewTables(view, stored=None, facts=None if view.table is None else tables.scan(view.table), computed=True)
        for view in context.views
    ]
    carried = dict.fromkeys([context.spine.partition, context.spine.time, *context.columns, PLACE])
    return join_features(sample, views, time=context.spine.time, carried=list(carried))
