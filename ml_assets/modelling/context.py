"""A declared model with what its assets need: its spine, its views, its keys."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import polars as pl

from ml_assets.declarations.private import Lineage, PrivateColumns, is_private, no_lineage
from ml_assets.declarations.specs import DeclaredModel, DeclaredOutcome, DeclaredSpine, DeclaredView, find_outcome
from ml_assets.durations import parse_duration
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.describe import describe_features
from ml_assets.features.row.features import of_calendar
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.lake import Lake
from ml_assets.modelling.recorded_views import ColumnsInUse, RecordedView, features_without_columns, recorded_view
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.sources.drops.moments import drop_end
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.records.inputs import ModelInputs
from ml_assets.training.spec import CardSpec, ModelSpec, SpineSpec

ROW = "__row_of_spine__"
"""Number of a row of the spine, from which to tell it apart from its like."""


class Moment(Protocol):
    """The moment that a training looks from, where one is given."""

    def resolve(self, newest: datetime) -> datetime: ...


@dataclass(frozen=True)
class ModelContext:
    """Everything the assets of one model are built from."""

    spec: ModelSpec
    monitoring: MonitoringSpec
    retraining: RetrainingSpec
    freshness: Freshness
    serving: ServingSpec | None
    after_correction: str
    spine: DeclaredSpine
    views: Sequence[DeclaredView]
    group: str
    contracts: Mapping[str, str]
    folder: Path | None = None
    """The project's; None for the one that the working directory lies in."""
    outcome: DeclaredOutcome | None = None
    """What the label is, where it is a declared outcome; None where the spine's table has it."""
    recorded_horizons: bool = False
    """Whether the spine's horizons are those of a version, and others are declared."""
    tags: Mapping[str, str] = field(default_factory=dict)
    card: CardSpec = field(default_factory=CardSpec)

    @classmethod
    def of(
        cls,
        declared: DeclaredModel,
        spine: DeclaredSpine,
        views: Sequence[DeclaredView],
        group: str,
        contracts: Mapping[str, str] | None = None,
        folder: Path | None = None,
        outcomes: Iterable[DeclaredOutcome] = (),
    ) -> "ModelContext":
        """Make the context of a declared model from the spine and the views that it names.

        Args:
            contracts: table -> contract, of the tables that have one.
            folder: a folder in the project that declares it.
            outcomes: those that are declared, of which one may be the label.

        Raises:
            ValueError: the label is an outcome that is not among them, or one of another spine.
        """
        spine = spine.with_horizon(declared.horizon)
        rows = SpineSpec(**spine.model_dump(include=set(SpineSpec.model_fields)))
        own = {name: getattr(declared, name) for name in ModelSpec.model_fields if name != "spine"}
        names = ("monitoring", "retraining", "freshness", "serving", "after_correction")
        watched = {name: getattr(declared, name) for name in names}
        outcome = _outcome_of(declared, outcomes)
        labels = declared.monitoring.labels.after(_label_delay(rows, outcome))
        monitoring = declared.monitoring.model_copy(update={"labels": labels})
        watched["monitoring"] = _watching(monitoring, views, spine)
        return cls(
            spec=ModelSpec(spine=rows, **own),
            spine=spine,
            views=views,
            group=group,
            contracts=contracts or {},
            folder=folder,
            outcome=outcome,
            tags=declared.tags,
            card=declared.card,
            **watched,
        )

    @property
    def label_table(self) -> str:
        """The asset key of the table that holds the label."""
        return self.spine.table if self.outcome is None else self.outcome.key

    @property
    def contract(self) -> str:
        """Of the spine's table, `package.module:Class`; empty where there is none."""
        return self.contracts.get(self.spine.table, "")

    def private(self, names: Iterable[str], lineage: Lineage = no_lineage) -> frozenset[str]:
        """Return those of some features and columns of the rows whose values are shown to nobody: as a contract marks
        them, or what they are made of, or as `monitoring.private` names them.

        Args:
            lineage: what tables without a contract are made of; what SQL makes of a private column is private only
                where that is known.

        Raises:
            ContractError: a contract cannot be loaded.
        """
        of_table, table = PrivateColumns(self.contracts, lineage), self.spine.table
        views = {name: view for view in self.views for name in view.feature_names}
        return frozenset(
            name
            for name in names
            if name in self.monitoring.private
            or name in of_table(table)
            or (name in views and is_private(views[name], name, table, of_table))
        )

    def key(self, asset: str) -> str:
        """Return the asset key of one of the model's assets, parts joined by ``/``."""
        return f"{self.spec.name}/{asset}"

    @property
    def served_as(self) -> ServingSpec:
        """How the model answers requests; raises ValueError where it is not declared to."""
        if self.serving is None:
            raise ValueError(f"model {self.spec.name} is not served: declare `serving`")
        return self.serving

    @property
    def watches_served(self) -> bool:
        """Whether monitoring reads the answers that were served instead of batch predictions."""
        return self.serving is not None and self.serving.monitored

    @property
    def watched(self) -> str:
        """The asset key of the predictions that monitoring reads."""
        return self.key("served_predictions" if self.watches_served else "predictions")

    @property
    def library(self) -> str:
        """The name of the model kind, as a kind of asset."""
        return find_kind(self.spec.kind).name

    @property
    def features(self) -> list[str]:
        """Every feature of the model, view after view."""
        return [name for view in self.views for name in view.feature_names]

    @property
    def columns(self) -> list[str]:
        """Spine columns that the model's rows carry: key, entities, slices, label and when it was known, and what
        training and measuring read beside, such as payoffs, where that is no feature."""
        entities = [column for view in self.views for column in view.spine_entity]
        label = self.spec.label
        named = [*self.spine.key, *self.spine.ahead, *self.spine.columns, *entities, *self.spec.slices]
        named += self.spine.weighed
        named += self.spec.baseline.series
        read = [column for column in self.spec.row_columns if column not in self.features]
        return list(dict.fromkeys([*named, label.column, label.known_at, *read]))

    @property
    def bystanders(self) -> list[str]:
        """Columns of the model's rows that are no outcome and must not tell it unless they are features."""
        entities = [column for view in self.views for column in view.spine_entity]
        spec = self.spec
        named = [self.spine.partition, *self.spine.key, *self.spine.columns, *entities, *spec.slices, *spec.groups]
        label = spec.label
        return [column for column in dict.fromkeys(named) if column not in (label.column, label.known_at)]

    @property
    def own_columns(self) -> list[str]:
        """Columns of the model's rows that say something of the row itself: entities that are not the row's key, and
        request features."""
        entities = [name for view in self.views for name in view.spine_entity if [name] != list(self.spine.key)]
        return list(dict.fromkeys([*entities, *(name for view in self.views for name in view.request)]))

    @property
    def clocks(self) -> list[str]:
        """Features of the calendar, which say when a row is."""
        return [name for view in self.views for name in view.calendar_features]

    def described(self, *more: Mapping[str, str]) -> dict[str, str]:
        """Describe the columns that the model's tables have of spine and views, and those in ``more``."""
        from ml_assets.quality.contracts import contract_descriptions, load_contract

        words = contract_descriptions(load_contract(self.contract)) if self.contract else {}
        words[self.spine.partition] = "Name of the drop that the row belongs to."
        words.setdefault(self.spine.time, "Prediction time: what is known later is in no feature.")
        for view in self.views:
            words |= describe_features(view)
        for own in more:
            words |= own
        return words

    def rows(self, lake: Lake, drops: list[str]) -> pl.DataFrame:
        """Return the spine rows of some drops with their features."""
        return self.featured(lake, self.spine_rows(lake, drops), drops).select(pl.exclude(ROW))

    @property
    def inputs(self) -> ModelInputs:
        """Where the model's rows, label and features come from as it is declared."""
        fields = FeatureViewSpec.model_fields
        views = tuple(FeatureViewSpec(**{name: getattr(view, name) for name in fields}) for view in self.views)
        outcome = None if self.outcome is None else self.outcome.plain
        return ModelInputs(
            spine=self.spec.spine, label=self.spec.label, task=self.spec.task, views=views, outcome=outcome
        )

    def trained_on(self, inputs: ModelInputs | None) -> "ModelContext":
        """Return the model with the views, and the rows of the horizons, that one of its versions was trained on; those
        declared now for a version registered without them."""
        if inputs is None:
            return self
        declared = {view.name: view for view in self.views}
        views = [recorded_view(view, declared.get(view.name), self.spine.name) for view in inputs.views]
        there = {name for view in views for name in view.feature_names}
        exclude = [name for name in self.monitoring.exclude if name in there]
        monitoring = _watching(self.monitoring.model_copy(update={"exclude": exclude}), views, self.spine)
        own = replace(self, views=views, monitoring=monitoring)
        if self.spine.looks_as_far_as(inputs.spine):
            return own
        horizons = {"horizons": inputs.spine.horizons}
        spec = self.spec.model_copy(update={"spine": self.spec.spine.model_copy(update=horizons)})
        return replace(own, spine=self.spine.model_copy(update=horizons), spec=spec, recorded_horizons=True)

    def lacking(self, lake: Lake, drops: Sequence[str]) -> list[str]:
        """Return why rows and features that are not as declared cannot be had for some drops, a line for the rows and
        for each view."""
        columns = ColumnsInUse(lake, self.contracts, drops)
        recorded = [view for view in self.views if isinstance(view, RecordedView)]
        lacking = [(view, features_without_columns(view, self.spine, columns)) for view in recorded]
        lines = [f"features {', '.join(names)} of view {view.name}: {why}" for view, (names, why) in lacking if names]
        return [*self._rows_gone(lake, drops), *lines]

    def _rows_gone(self, lake: Lake, drops: Sequence[str]) -> list[str]:
        """Return which drops have rows, and none that look as far ahead as those of a version did."""
        if not self.recorded_horizons:
            return []
        rows, by = lake.scan(self.spine.table).filter(pl.col(self.spine.partition).is_in(list(drops))), self.spine
        there, own = (
            {*part.select(pl.col(by.partition).unique()).collect().to_series()} for part in (rows, by.rows_ahead(rows))
        )
        gone = ", ".join(sorted(there - own))
        return [f"{by.table} has no rows {' or '.join(by.horizons)} ahead in {gone}"] if gone else []

    def spine_rows(self, lake: Lake, drops: list[str], before: datetime | None = None) -> pl.DataFrame:
        """Return the spine rows of some drops, numbered by ROW, with the columns that the model's rows carry and its
        views read; if `before` is given, only rows whose prediction time is earlier, or missing."""
        read = [column for view in self.views for column in view.spine_columns]
        rows = self.labelled(lake, drops, [*self.columns, *read])
        if before is not None:
            rows = rows.filter((pl.col(self.spine.time) < before).fill_null(True))
        return rows.collect().with_row_index(ROW)

    def labelled(self, lake: Lake, drops: list[str], columns: Sequence[str]) -> pl.LazyFrame:
        """Return columns of the spine's rows of some drops, the label and the moment at which it is known among them.

        A label that is an outcome is null, as is its moment, where the outcome has not been computed.
        """
        if self.outcome is None:
            return self.spine.scan(lake, drops, [*columns])
        own = [name for name in columns if name not in (self.spec.label.column, self.spec.label.known_at)]
        rows = self.spine.scan(lake, drops, [*own, *self.outcome.row(self.spine)])
        wanted = dict.fromkeys([self.spine.partition, self.spine.time, *columns])
        return self.outcome.beside(lake, rows, self.spine).select(*wanted)

    def known_labels(self, lake: Lake, moment: datetime) -> pl.LazyFrame:
        """Return label and moment, and of a sampled spine the weight, of all rows whose label was known by a moment."""
        label = self.spec.label
        labels = self.labelled(lake, self.drops(lake), [label.column, label.known_at, *self.spine.weighed])
        return labels.filter(pl.col(label.known_at) <= moment, pl.col(label.column).is_not_null())

    def rows_from(self, lake: Lake, moment: datetime) -> int:
        """Count the rows of the spine's table whose prediction times lie at the moment or later."""
        later = self.spine.rows_ahead(lake.scan(self.spine.table)).filter(pl.col(self.spine.time) >= moment)
        return later.select(pl.len()).collect().item()

    def featured(self, lake: Lake, spine_rows: pl.DataFrame, drops: list[str]) -> pl.DataFrame:
        """Add features to the rows of ``spine_rows``, and remove the columns that only views read."""
        partition = self.spine.partition
        carried = dict.fromkeys([ROW, partition, self.spine.time, *self.columns])
        tables = [
            ViewTables(
                view=view,
                stored=lake.scan(view.key).filter(pl.col(partition).is_in(drops)) if lake.exists(view.key) else None,
                facts=view.facts(lake),
                computed=isinstance(view, RecordedView),
            )
            for view in self.views
        ]
        return join_features(spine_rows, tables, time=self.spine.time, drop=partition, carried=list(carried))

    def drops(self, lake: Lake) -> list[str]:
        """Return the drops that the spine's table holds, in order."""
        drops = lake.scan(self.spine.table).select(pl.col(self.spine.partition).unique()).collect()
        return sorted(drops.to_series())

    def moment(self, lake: Lake, as_of: Moment) -> datetime:
        """Return the moment that a training looks from."""
        return as_of.resolve(drop_end(self.drops(lake)[-1], self.spine.drops))


def _watching(monitoring: MonitoringSpec, views: Sequence[FeatureViewSpec], spine: SpineSpec) -> MonitoringSpec:
    """Return how a model of some views is watched: without what the time alone determines unless that is declared."""
    names = [name for view in views for name in of_calendar(view, [spine.time, *spine.ahead])]
    return monitoring.leaving_out(names, [name for view in views for name in view.feature_names])


def _label_delay(rows: SpineSpec, outcome: DeclaredOutcome | None) -> timedelta:
    """Return how long after a row's time its label can be known: after its longest horizon, or its outcome's window,
    and what the outcome takes to settle; zero where neither is declared."""
    ahead = [parse_duration(horizon) for horizon in rows.horizons]
    if outcome is None:
        return max(ahead, default=timedelta(0))
    return max(ahead, default=outcome.length) + outcome.delay


def _outcome_of(declared: DeclaredModel, outcomes: Iterable[DeclaredOutcome]) -> DeclaredOutcome | None:
    outcome = find_outcome(declared, outcomes)
    if outcome is not None and outcome.spine != declared.spine:
        raise ValueError(
            f"label.outcome: {outcome.name} is of the spine {outcome.spine}, and the model's is {declared.spine}"
        )
    return outcome
