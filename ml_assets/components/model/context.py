"""A declared model with what its assets need: its spine, its views, its keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import dagster as dg
import polars as pl

from ml_assets.components.conditions import retrain_when_stale
from ml_assets.components.declared import declaration_version
from ml_assets.components.features.spine import Spine
from ml_assets.components.metadata.columns import describe_features
from ml_assets.components.partitions import drop_end
from ml_assets.components.stages import SCORING, SERVED, STAGE, TRAINING
from ml_assets.declarations.specs import DeclaredView
from ml_assets.features.assemble import ViewTables, join_features
from ml_assets.features.expressions import columns_read
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.freshness import Freshness
from ml_assets.lake import Lake
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.resources import AsOf
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.sources.spec import DROP
from ml_assets.training.inputs import ModelInputs
from ml_assets.training.kinds.spaces import library
from ml_assets.training.spec import ModelSpec, SpineSpec

ROW = "_row"
"""Number of a row of the spine, from which to tell it apart from its like."""


class RecordedView(DeclaredView):
    """A view as a version was trained on it, where it is declared otherwise now, or no more."""


def _recorded(view: FeatureViewSpec, declared: DeclaredView | None, spine: str) -> DeclaredView:
    """The declared view if it means the same, to the last feature."""
    meant = set(FeatureViewSpec.model_fields) - {"description", "owners", "freshness"}
    if declared is not None and view.model_dump(include=meant) == declared.model_dump(include=meant):
        return declared
    return RecordedView(**view.model_dump(), spine=spine)


@dataclass(frozen=True)
class _Columns:
    """Which columns of tables have values in some drops.

    A table in the lake keeps a column that its contract has given up: it is empty in what is delivered since.
    """

    lake: Lake
    contracts: Mapping[str, str]
    drops: Sequence[str]

    def of(self, table: str, partition: str) -> set[str]:
        rows = self.lake.scan(table)
        columns = {*rows.collect_schema().names()}
        given_up = columns - self._declared(table, columns) - {partition}
        last = max(self.drops, default=None)
        if last is None or not given_up or partition not in columns:
            return columns
        counted = rows.filter(pl.col(partition) == last).select(pl.col(sorted(given_up)).count())
        return columns - {name for name, values in counted.collect().row(0, named=True).items() if not values}

    def _declared(self, table: str, columns: set[str]) -> set[str]:
        if table not in self.contracts:
            return columns
        from ml_assets.quality.contracts import contract_schema, load_contract

        return {*contract_schema(load_contract(self.contracts[table]))}


def _not_there(view: DeclaredView, spine: Spine, columns: _Columns) -> tuple[list[str], str]:
    """The features of a view that cannot be had, and why."""
    kept, table = stored_features(view), view.table
    of_spine = columns.of(spine.table, spine.partition)
    gone = [column for column in view.spine_columns if column not in of_spine]
    if gone:
        read = [name for name, text in view.request.items() if {*columns_read(view.name, [text])} & {*gone}]
        return [*(kept if {*gone} & {*view.spine_entity} else []), *read], f"{spine.table} has no {', '.join(gone)}"
    if table is None:
        return [], ""
    if not columns.lake.exists(table):
        return kept, f"there is no table {table}"
    there = columns.of(table, DROP)
    gone = [column for column in view.table_columns if column not in there]
    return (kept, f"{table} has no {', '.join(gone)}") if gone else ([], "")


@dataclass(frozen=True)
class ModelContext:
    """Everything the assets of one model are built from."""

    spec: ModelSpec
    monitoring: MonitoringSpec
    retraining: RetrainingSpec
    freshness: Freshness
    serving: ServingSpec | None
    after_correction: str
    spine: Spine
    views: Sequence[DeclaredView]
    group: str
    contracts: Mapping[str, str]

    @classmethod
    def of(
        cls,
        declared,
        spine: Spine,
        views: Sequence[DeclaredView],
        group: str,
        contracts: Mapping[str, str] | None = None,
    ) -> "ModelContext":
        """From a declared MLModel, the spine and the views that it names.

        Args:
            contracts: table -> contract, of the tables that have one.
        """
        rows = SpineSpec(**spine.model_dump(include=set(SpineSpec.model_fields)))
        own = {name: getattr(declared, name) for name in ModelSpec.model_fields if name != "spine"}
        names = ("monitoring", "retraining", "freshness", "serving", "after_correction")
        watched = {name: getattr(declared, name) for name in names}
        return cls(
            spec=ModelSpec(spine=rows, **own),
            spine=spine,
            views=views,
            group=group,
            contracts=contracts or {},
            **watched,
        )

    @property
    def contract(self) -> str:
        """Of the spine's table, `package.module:Class`; empty where there is none."""
        return self.contracts.get(self.spine.table, "")

    def key(self, asset: str) -> str:
        """The asset key of one of the model's assets, parts joined by ``/``."""
        return f"{self.spec.name}/{asset}"

    def asset_spec(
        self, asset: str, stage_tags: dict[str, str], deps: Sequence[str], description: str, **more
    ) -> dg.AssetSpec:
        if stage_tags[STAGE] == TRAINING:
            more["automation_condition"] = retrain_when_stale(dg.AssetKey([self.spec.name, "champion"]))
        return dg.AssetSpec(
            dg.AssetKey([self.spec.name, asset]),
            deps=[dg.AssetKey(key.split("/")) for key in deps],
            description=description,
            owners=self.spec.owners,
            group_name=self.group,
            tags=stage_tags,
            code_version=declaration_version(self.spec),
            **more,
        )

    @property
    def watches_served(self) -> bool:
        """Whether monitoring reads the answers that were served instead of batch predictions."""
        return self.serving is not None and self.serving.monitored

    @property
    def watched(self) -> str:
        """The asset key of the predictions that monitoring reads."""
        return self.key("served_predictions" if self.watches_served else "predictions")

    @property
    def watching_stage(self) -> dict[str, str]:
        """The stage tag of what monitors: with the predictions that it reads."""
        return {STAGE: SERVED if self.watches_served else SCORING}

    @property
    def library(self) -> str:
        """What learns, as a kind of asset."""
        return library(self.spec.kind)

    @property
    def features(self) -> list[str]:
        """Every feature of the model, view after view."""
        return [name for view in self.views for name in view.feature_names]

    @property
    def columns(self) -> list[str]:
        """Spine columns that the model's rows carry: key, entities, slices, label and when it was known."""
        entities = [column for view in self.views for column in view.spine_entity]
        label = self.spec.label
        named = [*self.spine.key, *self.spine.columns, *entities, *self.spec.slices]
        return list(dict.fromkeys([*named, label.column, label.known_at]))

    def described(self, *more: Mapping[str, str]) -> dict[str, str]:
        """What the columns mean that the model's tables have of spine and views, and those in ``more``."""
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
        """Spine rows of some drops with their features."""
        return self.featured(lake, self.spine_rows(lake, drops), drops).select(pl.exclude(ROW))

    @property
    def inputs(self) -> ModelInputs:
        """Where the model's rows, label and features come from as it is declared."""
        fields = FeatureViewSpec.model_fields
        views = tuple(FeatureViewSpec(**{name: getattr(view, name) for name in fields}) for view in self.views)
        return ModelInputs(spine=self.spec.spine, label=self.spec.label, task=self.spec.task, views=views)

    def trained_on(self, inputs: ModelInputs | None) -> "ModelContext":
        """The model with the views that one of its versions was trained on; those declared for a version registered
        without them."""
        if inputs is None:
            return self
        declared = {view.name: view for view in self.views}
        return replace(self, views=[_recorded(view, declared.get(view.name), self.spine.name) for view in inputs.views])

    def lacking(self, lake: Lake, drops: Sequence[str]) -> list[str]:
        """Why features of views that are not as declared cannot be had for some drops, a line for each view."""
        columns = _Columns(lake, self.contracts, drops)
        recorded = [view for view in self.views if isinstance(view, RecordedView)]
        found = [(view, _not_there(view, self.spine, columns)) for view in recorded]
        return [f"features {', '.join(names)} of view {view.name}: {why}" for view, (names, why) in found if names]

    def spine_rows(self, lake: Lake, drops: list[str], before: datetime | None = None) -> pl.DataFrame:
        """Spine rows of some drops, numbered by ROW: the columns that the model's rows carry, and those that its views
        read; of rows at prediction times `before` a moment only those."""
        read = [column for view in self.views for column in view.spine_columns]
        rows = self.spine.scan(lake, drops, [*self.columns, *read])
        if before is not None:
            rows = rows.filter((pl.col(self.spine.time) < before).fill_null(True))
        return rows.collect().with_row_index(ROW)

    def rows_from(self, lake: Lake, moment: datetime) -> int:
        """How many rows of the spine's table have prediction times from the moment on."""
        later = lake.scan(self.spine.table).filter(pl.col(self.spine.time) >= moment)
        return later.select(pl.len()).collect().item()

    def featured(self, lake: Lake, spine_rows: pl.DataFrame, drops: list[str]) -> pl.DataFrame:
        """What ``spine_rows`` gave, with features, without what only views read."""
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
        """The drops that the spine's table holds, in order."""
        found = lake.scan(self.spine.table).select(pl.col(self.spine.partition).unique()).collect()
        return sorted(found.to_series())

    def moment(self, lake: Lake, as_of: AsOf) -> datetime:
        """The moment a training looks from."""
        return as_of.resolve(drop_end(self.drops(lake)[-1], self.spine.drops))
