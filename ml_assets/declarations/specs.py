"""Everything that can be declared, field by field: what a component adds to these is Dagster's."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Literal, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.alerts.spec import AlertRule, check_rules
from ml_assets.declarations.catalogue import Catalogued
from ml_assets.durations import parse_duration
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.freshness import Freshness
from ml_assets.lake import Lake
from ml_assets.monitoring.spec import MonitoringSpec
from ml_assets.online.spec import OnlineSpec
from ml_assets.outcomes.complete import Completeness, complete_drops, complete_facts
from ml_assets.outcomes.engine.times import OutcomeTimes
from ml_assets.outcomes.pending import due_drops
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.outcomes.stored import with_labels
from ml_assets.retraining.spec import RetrainingSpec
from ml_assets.serving.spec import ServingSpec
from ml_assets.sources.drops.grains import GRAINS, WHOLE, is_name
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP, SourceSpec
from ml_assets.spines.rows import MadeSpine
from ml_assets.spines.spec import (
    HORIZON,
    MADE,
    PREDICTION_AT,
    STANDS_FOR,
    TARGET_AT,
    CalendarSpec,
    EntitiesSpec,
    SampleSpec,
)
from ml_assets.training.spec import CardSpec, ModelSpec, SpineSpec

CAME_EMPTY = "came_empty"
"""Table of a source, beside its assets: the drops in use that came without rows, one row for each."""


class DeclaredSource(Catalogued, SourceSpec):
    """Where a table comes from, how it is cut into drops, and what it must satisfy."""

    alerts: list[AlertRule] = Field(
        default_factory=list, description="When people are to look at the source, who, and how they are told."
    )

    @model_validator(mode="after")
    def _alerts_fit(self) -> Self:
        check_rules("source", self.alerts)
        return self

    def table(self, table: str) -> str:
        """Return the asset key of ``raw``, ``validated`` or ``quarantine``."""
        return f"{self.name}/{table}"

    def came_empty(self, lake: Lake) -> list[str]:
        """Return the drops in use that are known to have come without rows."""
        return lake.partitions(self.table(CAME_EMPTY), DROP)


class DeclaredSpine(Catalogued, SpineSpec):
    """Rows to predict, cut into drops: those of a table, or every entity of one at the moments of a calendar."""

    name: str = Field(description="Name by which feature views and models refer to it.")
    description: str = Field(default="", description="What a row to predict is, for the catalogue.")
    table: str = Field(
        default="",
        description="Asset key of the table with one row per prediction, parts joined by '/'. Absent: the rows are "
        f"made, of `entities` and `every`, and stored as <name>/{MADE}.",
    )
    key: list[str] = Field(
        default_factory=list,
        description="Columns that together identify a row. Of made rows: the entity's key and `time`, to be left out.",
    )
    time: str = Field(
        default="",
        description="Column with the prediction time: the moment the score is needed. Of made rows: its name, "
        f"{PREDICTION_AT} where none is given.",
    )
    partition: str = Field(
        default="",
        description="Column of the table that names the drop a row belongs to. Of made rows: its name, "
        f"{DROP} where none is given.",
    )
    owners: list[str] = Field(
        default_factory=list, description="Who answers for made rows: e-mail addresses or `team:name`."
    )
    entities: EntitiesSpec | None = Field(
        default=None, description="Whom or what to predict at every moment of `every`; absent: `table` has the rows."
    )
    every: CalendarSpec | None = Field(
        default=None, description="When each entity is predicted that is active then; absent: `table` has the rows."
    )
    sample: SampleSpec | None = Field(
        default=None,
        description="Keep a share of the made rows in drops that are there to learn from, before any outcome is known; "
        "absent: every row.",
    )
    follows: str = Field(
        default="",
        description="Table whose drops say which periods have come, of made rows; absent: `entities.table`, which has "
        "to be cut into the same drops then.",
    )
    drops: Drops = Field(description="How the rows are cut into drops: the same as the source they come from.")
    contract: str = Field(
        default="",
        description="Pandera model of the table, as `package.module:Class`: what a request to the server may hold; a"
        " column that it lacks may hold anything. The validated table of a source has the source's.",
    )

    @model_validator(mode="after")
    def _read_or_made(self) -> Self:
        if self.entities is None and self.every is None:
            self._check_read()
            return self
        table = f"{self.name}/{MADE}"
        if self.table not in ("", table):
            raise ValueError(
                "table: is given beside `entities` and `every`: either a table has the rows, or they are made"
            )
        if self.entities is None or self.every is None:
            raise ValueError(f"{'entities' if self.entities is None else 'every'}: is missing, to have the rows made")
        if self.drops.grain == WHOLE:
            raise ValueError(f"drops: a calendar has no end: declare a grain, one of {', '.join(GRAINS)}")
        if self.time_zone not in ("UTC", self.every.time_zone):
            raise ValueError("time_zone: is that of `every`, of made rows: leave it out")
        self.table, self.time, self.time_zone = table, self.time or PREDICTION_AT, self.every.time_zone
        self.partition = self.partition or DROP
        key = [*self.entities.key, self.time, *([HORIZON] if self.horizons else [])]
        if self.key not in ([], key):
            raise ValueError(f"key: is that of made rows, {', '.join(key)}: leave it out")
        self.key = key
        self._check_names(self.entities)
        return self

    def _check_read(self) -> None:
        missing = [name for name in ("table", "key", "time", "partition") if not getattr(self, name)]
        if "table" in missing:
            made = "have them made of `entities` and `every`"
            raise ValueError(f"table: is missing: name the table of the rows, or {made}")
        if missing:
            raise ValueError(f"{missing[0]}: is missing")
        if self.horizons:
            raise ValueError("horizons: belong to made rows, of `entities` and `every`")
        if self.sample is not None:
            raise ValueError("sample: belongs to made rows, of `entities` and `every`")
        if self.follows:
            raise ValueError("follows: belongs to made rows, of `entities` and `every`")

    def _check_names(self, entities: EntitiesSpec) -> None:
        named = [self.time, self.partition]
        taken = {*entities.key, *entities.columns} & {*named}
        if taken or self.time == self.partition:
            column = min(taken, default=self.time)
            field = "time" if column == self.time else "partition"
            raise ValueError(f"{field}: {column!r} is also the name of another column of the rows: give another")
        if self.sample is not None:
            self._check_sample(self.sample, {*named, *entities.key, *entities.columns})
        reserved = {HORIZON, TARGET_AT} & {*named, *entities.key, *entities.columns} if self.horizons else set()
        if reserved:
            raise ValueError(
                f"horizons: give the rows a column {min(reserved)!r}, and another column of theirs bears that name"
            )

    def _check_sample(self, sample: SampleSpec, columns: set[str]) -> None:
        if not is_name(self.drops.grain, sample.before):
            form = GRAINS[self.drops.grain].form
            raise ValueError(f"sample.before: {sample.before!r} is no drop of grain {self.drops.grain}: write {form}")
        if STANDS_FOR in columns:
            raise ValueError(
                f"sample: gives the rows a column {STANDS_FOR!r}, and another column of theirs is called so"
            )

    @property
    def sampled(self) -> bool:
        """Whether rows of some drops are a sample, so that each stands for several entity-moments."""
        return self.sample is not None

    @property
    def weighed(self) -> list[str]:
        """The column with how many entity-moments a row stands for, of a sampled spine."""
        return [STANDS_FOR] if self.sampled else []

    @property
    def made(self) -> MadeSpine | None:
        """How the rows are made; None where a table has them."""
        if self.entities is None or self.every is None:
            return None
        horizons = tuple(parse_duration(text) for text in self.horizons)
        return MadeSpine(
            self.name, self.entities, self.every, self.drops, self.time, self.partition, horizons, self.sample
        )

    @property
    def entity(self) -> list[str]:
        """The columns that identify what a row is about: the key, of made rows without their moment."""
        return self.key if self.entities is None else self.entities.key

    @property
    def target_at(self) -> str | None:
        """Column with the moment that a row looks ahead to, of a spine with horizons; None of one without."""
        return TARGET_AT if self.horizons else None

    @property
    def times(self) -> OutcomeTimes:
        """The columns by which windows of outcomes begin and end."""
        return OutcomeTimes(self.time, self.target_at, self.time_zone)

    def with_horizon(self, horizon: str | None) -> Self:
        """Return the spine with the rows of one horizon alone; as it is for None.

        Raises:
            ValueError: the spine lacks the horizon.
        """
        if horizon is None:
            return self
        length = parse_duration(horizon)
        same = [text for text in self.horizons if parse_duration(text) == length]
        if not same:
            there = ", ".join(self.horizons) or "none"
            raise ValueError(f"{horizon} is no horizon of spine {self.name}; there are {there}")
        return self.model_copy(update={"horizons": same})

    def rows_ahead(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows of the spine's table that look as far ahead as the spine's horizons."""
        if not self.horizons:
            return rows
        seconds = [parse_duration(text) // timedelta(seconds=1) for text in self.horizons]
        return rows.filter(pl.col(HORIZON).is_in(seconds))

    @property
    def comes_with(self) -> str:
        """The table whose drops say which periods of made rows have come; empty where a table has the rows."""
        return "" if self.entities is None else self.follows or self.entities.table

    def rows(self, lake: Lake, drops: list[str], columns: list[str]) -> pl.DataFrame:
        """Return the spine's rows of some drops: partition, time and the given columns."""
        return self.scan(lake, drops, columns).collect()

    def scan(self, lake: Lake, drops: list[str], columns: list[str]) -> pl.LazyFrame:
        """Return what ``rows`` gives, lazily."""
        wanted = list(dict.fromkeys([self.partition, self.time, *columns]))
        rows = lake.scan(self.table).filter(pl.col(self.partition).is_in(drops))
        return self.rows_ahead(self.weighed_rows(rows)).select(wanted)

    def weighed_rows(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Return the rows of the spine's table with what each stands for, of a sampled spine: rows from before it was
        declared so are those of whole drops."""
        if not self.sampled:
            return rows
        kept = pl.col(STANDS_FOR).fill_null(1.0) if STANDS_FOR in rows.collect_schema() else pl.lit(1.0)
        return rows.with_columns(kept.alias(STANDS_FOR))


class DeclaredView(Catalogued, FeatureViewSpec):
    """Features of one entity over one table, computed as of each row of a spine."""

    spine: str = Field(description="Name of the spine whose rows the features are computed for.")
    online: OnlineSpec | None = Field(
        default=None,
        description="Keep the features of every entity ready for requests; absent: in training and batch only.",
    )

    @property
    def key(self) -> str:
        """The asset key of the view's stored features."""
        return f"features/{self.name}"

    def facts(self, lake: Lake) -> pl.LazyFrame | None:
        """Return the table that the view reads; None for a view of features of the row only."""
        return None if self.table is None else lake.scan(self.table)


class DeclaredOutcome(Catalogued, OutcomeSpec):
    """What comes of each row of a spine within a window after it."""

    spine: str = Field(description="Name of the spine whose rows the outcome is of.")
    follows: str = Field(
        default="",
        description="Validated table of a source whose drops say up to when every fact has come, where those of "
        "`table` do not: customers cut by when they signed up are no newer for those who leave. Absent: `table`.",
    )

    @property
    def comes_with(self) -> str:
        """The table whose drops say up to when every fact has come."""
        return self.follows or self.table

    @property
    def key(self) -> str:
        """The asset key of the stored outcomes."""
        return f"outcomes/{self.name}"

    def known_after(self, horizons: Iterable[str]) -> timedelta:
        """Return how long after a row's time its label is known at the latest.

        Args:
            horizons: how far ahead the rows look; none of rows without horizons.
        """
        return max((parse_duration(text) for text in horizons), default=self.length) + self.delay

    @property
    def plain(self) -> OutcomeSpec:
        """The outcome as it is recorded with what was trained on it."""
        return OutcomeSpec(**{name: getattr(self, name) for name in OutcomeSpec.model_fields})

    def row(self, spine: DeclaredSpine) -> list[str]:
        """Return the columns by which a stored outcome is found again: one row for each entity and moment of a drop."""
        horizon = [] if spine.target_at is None else [HORIZON, spine.target_at]
        return list(dict.fromkeys([spine.partition, *self.spine_entity, spine.time, *horizon]))

    def completeness(
        self, lake: Lake, of_drops: DeclaredSource | None, scan: Callable[[str], pl.LazyFrame] | None = None
    ) -> Completeness:
        """Say up to when the outcome's table holds every fact: by the drops of `comes_with` where they are declared.

        A source that goes on without a drop that failed (`after_failure: continue`) may lack one that was not empty, so
        that there a drop of which nothing is known counts as missing even if drops may be empty.

        Args:
            of_drops: the source whose validated table `comes_with` is; None for any other table.
            scan: reads a table; by default out of the lake.
        """
        read = scan or lake.scan
        if of_drops is None or of_drops.drops.grain == WHOLE:
            written_at = lake.written_at(self.table) if lake.exists(self.table) else None
            return complete_facts(self, read(self.table), written_at=written_at)
        taken_for_empty = of_drops.empty_drops == "accept" and of_drops.after_failure == "wait"
        came_empty = of_drops.came_empty(lake)
        rows = read(self.comes_with)
        return complete_drops(rows, of_drops.drops, came_empty=came_empty, empty_drops=taken_for_empty)

    def due(self, lake: Lake, spine: DeclaredSpine, of_drops: DeclaredSource | None) -> dict[str, str]:
        """Return the stored drops whose outcomes could say more by now, with what makes them due; see `due_drops`.

        Args:
            of_drops: as `completeness` takes it.
        """
        if not all(lake.exists(table) for table in (self.key, self.table, self.comes_with, spine.table)):
            return {}
        return due_drops(
            self,
            lake.scan(self.key),
            lake.scan(spine.table).select(self.row(spine)),
            lake.scan(self.table),
            spine.times,
            partition=spine.partition,
            complete_until=self.completeness(lake, of_drops).until,
        )

    def beside(self, lake: Lake, rows: pl.LazyFrame, spine: DeclaredSpine) -> pl.LazyFrame:
        """Add label and moment to rows of the spine: null where nothing is stored as it is declared now."""
        stored = lake.scan(self.key) if lake.exists(self.key) else None
        return with_labels(self, rows, stored, self.row(spine))


def find_outcome(model: ModelSpec, outcomes: Iterable[DeclaredOutcome]) -> DeclaredOutcome | None:
    """Return the outcome that is a model's label; None for a label of two columns.

    Raises:
        ValueError: it is not among those declared.
    """
    name = model.label.outcome
    declared = {outcome.name: outcome for outcome in outcomes}
    if name is not None and name not in declared:
        there = ", ".join(sorted(declared)) or "none"
        raise ValueError(f"label.outcome: {name!r} is not declared; there are {there}")
    return None if name is None else declared[name]


class DeclaredModel(Catalogued, ModelSpec):
    """A model: tuned, trained, evaluated, promoted, scored and watched."""

    spine: str = Field(  # pyright: ignore[reportIncompatibleVariableOverride] - a model in a project must name it
        description="Name of the spine that holds the rows to predict."
    )
    monitoring: MonitoringSpec = Field(
        default_factory=MonitoringSpec, description="How the model is watched in production."
    )

    retraining: RetrainingSpec = Field(
        default_factory=RetrainingSpec, description="When the model is trained again, and how often at most."
    )
    serving: ServingSpec | None = Field(
        default=None, description="How the model answers requests; absent: its answers are not gathered or checked."
    )
    freshness: Freshness = Field(
        default_factory=lambda: Freshness(warn="25d", fail="30d"), description="How old the champion may be."
    )
    alerts: list[AlertRule] = Field(
        default_factory=list, description="When people are to look at the model, who, and how they are told."
    )
    after_correction: Literal["keep", "recompute"] = Field(
        default="keep",
        description="What becomes of predictions whose features are corrected later: `keep` them as they were, marked "
        "in `features_corrected`, or `recompute` them.",
    )
    card: CardSpec = Field(
        default_factory=CardSpec, description="What people say about the model, for the card of each version."
    )

    @model_validator(mode="after")
    def _alerts_fit(self) -> Self:
        check_rules("model", self.alerts)
        return self


class DeclaredDbtTables(Catalogued):
    """SQL models built from validated tables."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field("dbt_project", description="Folder of the dbt project, relative to the project root.")
    select: str = Field(description="dbt node selection that names this use case's models.")
    folder: str = Field(description="Folder of these models below the dbt project, such as models/sales.")
    description: str = Field(
        default="", description="What the tables hold, for the catalogue, of those that dbt has no description of."
    )
    owners: list[str] = Field(
        default_factory=list,
        description="Who answers for the tables for which dbt names no owner: e-mail addresses or `team:name`.",
    )
    drops: Drops = Field(
        default_factory=Drops,
        description="How the rows of the tables are cut into drops: the same as the sources they come from. Each "
        "drop rebuilds all tables.",
    )


SPECS: dict[str, type[BaseModel]] = {
    "DbtTables": DeclaredDbtTables,
    "FeatureView": DeclaredView,
    "MLModel": DeclaredModel,
    "Outcome": DeclaredOutcome,
    "Source": DeclaredSource,
    "Spine": DeclaredSpine,
}
"""What a declaration's type is called in this package -> its fields."""


def name_of(spec: BaseModel) -> str:
    """Return a declaration's name; that of its class where the kind has none, as `DbtTables`."""
    return getattr(spec, "name", None) or type(spec).__name__
