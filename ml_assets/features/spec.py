"""What a team declares about a feature view."""

import re
from collections import Counter
from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ml_assets.durations import Duration, parse_duration
from ml_assets.features.aggregates import ALL_ROWS, AggregateFunction, AggregateSpec
from ml_assets.features.declared.calendar import CalendarPart, CalendarPartsSpec
from ml_assets.features.declared.lags import LagSpec
from ml_assets.features.declared.plans import PlanSpec
from ml_assets.freshness import Freshness

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_CLOCK = re.compile(r"\b(now\s*\(|current_(date|time|timestamp)\b|local(time|timestamp)\b)", re.IGNORECASE)


class FeatureViewSpec(BaseModel):
    """Features of one entity over one table, as of any moment.

    At prediction time t a feature sees only table rows with `known_at <= t`.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name of the view, in snake_case.")
    description: str = Field(description="What these features say about the entity, for the catalogue.")
    owners: list[str] = Field(
        default_factory=list, description="Who answers for the view: e-mail addresses or `team:name`."
    )
    entity: list[str] = Field(
        default_factory=list,
        description="Key columns of the entity, as the table names them. Empty: the table is one entity.",
    )
    spine_keys: dict[str, str] = Field(
        default_factory=dict,
        description="Table key column -> spine column, for the keys that the spine names differently.",
    )
    table: str | None = Field(
        default=None,
        description="Asset key of the table in the lake, such as `orders` or `shop/validated`. "
        "Absent: the view has features of the row to predict only.",
    )
    known_at: str | None = Field(
        default=None,
        description="Column with the moment a row could first be known, Datetime('us', 'UTC'). Rows where it "
        "is null were never known. Absent: a static table, one row per entity, taken as always known.",
    )
    latest: dict[str, str] = Field(
        default_factory=dict,
        description="Feature -> Polars SQL expression over the entity's last known row. The last row counts "
        "even where its value is null. If several share the last known_at, the largest in `order_by` wins.",
    )
    order_by: list[str] = Field(
        default_factory=list,
        description="Polars SQL expressions that rank rows of one entity with equal known_at for `latest`: "
        "the largest wins, null is smallest. Rows still equal are ranked by the `latest` values themselves.",
    )
    ttl: Duration | None = Field(
        default=None,
        description="How old the last known row may be for `latest` (known_at > t - ttl); older gives null. "
        "Absent: any age.",
    )
    lags: dict[str, LagSpec] = Field(
        default_factory=dict,
        description="Feature -> a value of the entity's last row as it was known some time before t. Ties are broken "
        "as for `latest`.",
    )
    windows: list[Duration] = Field(
        default_factory=list,
        description="Windows of the aggregates, such as ['3h', '28d']: rows with t - window < known_at <= t.",
    )
    aggregates: dict[str, AggregateSpec] = Field(
        default_factory=dict,
        description="Base name -> aggregate. Each gives features named `<base>_<function>_<window>`.",
    )
    planned: PlanSpec | None = Field(
        default=None,
        description="Facts that are known before they hold, such as promotions, prices and opening hours: known_at is "
        "when they were announced.",
    )
    lookups: dict[str, str] = Field(
        default_factory=dict,
        description="Feature -> Polars SQL expression over the entity's row of a static table.",
    )
    request: dict[str, str] = Field(
        default_factory=dict,
        description="Feature -> Polars SQL expression over the spine row, such as `EXTRACT(hour FROM due)`.",
    )
    calendar: dict[str, CalendarPartsSpec] = Field(
        default_factory=dict,
        description="Base name -> the calendar of a moment of the spine row. Each gives features named "
        "`<base>_<part>`.",
    )
    derived: dict[str, str] = Field(
        default_factory=dict,
        description="Feature -> Polars SQL expression over other features of this view, row by row, such as "
        "`units_sum_7d / units_sum_28d`. A division by zero, and whatever is not finite, gives null.",
    )
    hidden: list[str] = Field(
        default_factory=list,
        description="Features that `derived` ones of this view read and nobody else needs, such as the moment of the "
        "last order: they are computed and kept like others, and no model gets them.",
    )
    freshness: Freshness = Field(default_factory=Freshness, description="How old the latest materialization may be.")

    @property
    def aggregate_features(self) -> dict[str, tuple[str, AggregateFunction, str]]:
        """Feature -> (base name, function, window), in declared order."""
        return {
            f"{base}_{function}_{window}": (base, function, window)
            for base, function, window in self._aggregate_parts()
        }

    @property
    def computed_features(self) -> list[str]:
        """Every feature, in the order of the columns computed: those of the table, then those of the row."""
        return [*self.table_features, *self.row_features]

    @property
    def feature_names(self) -> list[str]:
        """The features that models get, in the order of the columns computed: all that are not hidden."""
        return [name for name in self.computed_features if name not in self.hidden]

    @property
    def table_features(self) -> list[str]:
        """The features that the table gives: latest, lags, aggregates, planned, lookups."""
        planned = self.planned.features if self.planned else ()
        return [*self.latest, *self.lags, *self.aggregate_features, *planned, *self.lookups]

    @property
    def row_features(self) -> list[str]:
        """The features that the row to predict determines, beside what those of the table give: request, calendar,
        derived."""
        return [*self.request, *self.calendar_features, *self.derived]

    @property
    def calendar_features(self) -> dict[str, tuple[str, CalendarPart]]:
        """Feature -> (base name, part), in declared order."""
        return {f"{base}_{part}": (base, part) for base, spec in self.calendar.items() for part in spec.parts}

    @property
    def spine_entity(self) -> list[str]:
        """The key columns as the spine names them, in the order of `entity`."""
        return [self.spine_keys.get(key, key) for key in self.entity]

    @property
    def spine_columns(self) -> list[str]:
        """Columns the spine must have beside its time column: the keys, then the moments that planned features are
        about, then what features of the row read."""
        return list(dict.fromkeys([*self.stored_by, *self.row_columns]))

    @property
    def stored_by(self) -> list[str]:
        """Columns of the spine that determine, with the time, the features of the table."""
        return list(dict.fromkeys([*self.spine_entity, *(self.planned.moments if self.planned else ())]))

    @property
    def row_columns(self) -> list[str]:
        """Columns that request and calendar features read of a spine row."""
        from ml_assets.features.expressions import columns_read

        moments = [spec.at for spec in self.calendar.values() if spec.at]
        return list(dict.fromkeys([*columns_read(self.name, self.request.values()), *moments]))

    @property
    def table_columns(self) -> list[str]:
        """Columns read from the table: the keys, known_at, then what the expressions read."""
        from ml_assets.features.expressions import columns_read

        known_at = [self.known_at] if self.known_at else []
        planned = self.planned.columns if self.planned else []
        read = columns_read(self.name, self.table_expressions)
        return list(dict.fromkeys([*self.entity, *known_at, *planned, *read]))

    @property
    def table_expressions(self) -> list[str]:
        """Every SQL expression that is evaluated on table rows."""
        summarised = [spec.of for spec in self.aggregates.values() if spec.of != ALL_ROWS]
        lagged = [spec.of for spec in self.lags.values()]
        planned = self.planned.expressions if self.planned else []
        return [*self.latest.values(), *self.order_by, *summarised, *self.lookups.values(), *lagged, *planned]

    @property
    def look_back(self) -> timedelta | None:
        """How far before a prediction time rows can matter: `known_at > t - look_back`.

        None when every earlier row can matter (`latest` or a lag without ttl, planned facts, a static table, none).
        """
        if self.known_at is None or self.last_row_before is not None or self.planned is not None:
            return None
        return self.longest_span

    @property
    def last_row_before(self) -> timedelta | None:
        """How long before a prediction time rows end of which the last matters however old it is: the longest offset of
        what has no ttl; None where all has one."""
        offsets = [timedelta(0)] if self.latest and self.ttl is None else []
        return max([*offsets, *(spec.ends_before for spec in self.lags.values() if spec.ttl is None)], default=None)

    @property
    def ages(self) -> set[timedelta]:
        """The ages at which a row enters or leaves what features see, beside its own moment."""
        ages = {parse_duration(self.ttl)} if self.ttl else set()
        for spec in self.lags.values():
            ages |= {spec.ends_before} | ({spec.ends_before + parse_duration(spec.ttl)} if spec.ttl else set())
        for base, _, window in self.aggregate_features.values():
            before = self.aggregates[base].ends_before
            ages |= {before, before + parse_duration(window)}
        return ages - {timedelta(0)}

    @property
    def youngest_age(self) -> timedelta:
        """The age from which on a row is seen by any feature."""
        offsets = [spec.ends_before for spec in (*self.lags.values(), *self.aggregates.values())]
        return timedelta(0) if self.latest or self.planned else min(offsets, default=timedelta(0))

    @property
    def known_at_column(self) -> str:
        """`known_at` of a view whose table has it.

        Raises:
            ValueError: the table is static, or there is none.
        """
        if self.known_at is None:
            raise ValueError(f"feature view {self.name!r} has no known_at")
        return self.known_at

    @property
    def longest_span(self) -> timedelta:
        """The age at which a row matters no more, but for the last one where it matters for ever."""
        return max(self.ages, default=timedelta(0))

    def windows_of(self, base: str) -> list[str]:
        """Return the windows of an aggregate."""
        return self.aggregates[base].windows or self.windows

    def _first(self, features: list[str]) -> str:
        """Return the field that declares the first of some features."""
        fields = {
            "latest": self.latest,
            "lags": self.lags,
            "planned": self.planned.features if self.planned else {},
            "lookups": self.lookups,
            "request": self.request,
            "calendar": self.calendar_features,
            "derived": self.derived,
        }
        return next((field for field, declared in fields.items() if {*features} & {*declared}), "aggregates")

    def _aggregate_parts(self) -> list[tuple[str, AggregateFunction, str]]:
        return [
            (base, function, window)
            for base, spec in self.aggregates.items()
            for function in spec.functions
            for window in self.windows_of(base)
        ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = [
            *self._time_problems(),
            *self._key_problems(),
            *self._name_problems(),
            *self._derived_problems(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _time_problems(self) -> list[str]:
        over_time = bool(self.latest or self.lags or self.aggregates or self.planned)
        from_table = bool(over_time or self.lookups)
        without_windows = [base for base in self.aggregates if not self.windows_of(base)]
        rules = {
            "latest: no feature is declared; give latest, aggregates, planned, lookups, request or calendar": not (
                from_table or self.request or self.calendar
            ),
            "table: is needed by latest, lags, aggregates, planned and lookups": from_table and self.table is None,
            "table: is given but nothing reads it": self.table is not None and not from_table,
            "known_at: is needed by latest, lags, aggregates, planned, windows and ttl": self.known_at is None
            and bool(over_time or self.windows or self.ttl),
            "known_at: is given but the view has no latest, lags, aggregates and planned": self.known_at is not None
            and not over_time,
            "lookups: read a static table; with known_at use latest": bool(self.lookups) and self.known_at is not None,
            "entity: is needed by lookups": bool(self.lookups) and not self.entity,
            "latest: is missing, and ttl belongs to it": bool(self.ttl) and not self.latest,
            "latest: is missing, and order_by belongs to it, lags or planned": bool(self.order_by)
            and not (self.latest or self.lags or self.planned),
            f"windows: are missing, and aggregates {without_windows} have none of their own": bool(without_windows),
            "windows: are given but no aggregate uses them": bool(self.windows)
            and all(spec.windows for spec in self.aggregates.values()),
        }
        return [problem for problem, broken in rules.items() if broken]

    def _key_problems(self) -> list[str]:
        unmapped = sorted(set(self.spine_keys) - set(self.entity))
        problems = [f"spine_keys: {unmapped} are no entity columns"] if unmapped else []
        for names, where in ((self.entity, "entity"), (self.spine_entity, "spine_keys")):
            if repeated := _repeated(names):
                problems.append(f"{where}: {repeated} twice")
        return problems

    def _name_problems(self) -> list[str]:
        aggregates = [f"{base}_{function}_{window}" for base, function, window in self._aggregate_parts()]
        calendar = [f"{base}_{part}" for base, spec in self.calendar.items() for part in spec.parts]
        planned = self.planned.names if self.planned else []
        of_table = [*self.latest, *self.lags, *aggregates, *planned, *self.lookups]
        names = [*of_table, *self.request, *calendar, *self.derived]
        keys = sorted(set(names) & {*self.entity, *self.spine_entity})
        texts = [*self.table_expressions, *self.request.values(), *self.derived.values()]
        clocks = [text for text in texts if _CLOCK.search(_QUOTED.sub("", text))]
        problems = (
            [f"{self._first(_repeated(names))}: features {_repeated(names)} are declared twice"]
            if _repeated(names)
            else []
        )
        problems += [f"{self._first(keys)}: features {keys} bear the name of a key"] if keys else []
        problems += (
            [f"request: {clocks} read the clock: a feature depends on the prediction time only"] if clocks else []
        )
        return problems

    def _derived_problems(self) -> list[str]:
        if not self.derived and not self.hidden:
            return []
        from ml_assets.features.derived import derived_from, derived_problems

        others = [name for name in self.computed_features if name not in self.derived]
        problems = derived_problems(self.name, self.derived, others)
        if problems:
            return problems
        read = {name for names in derived_from(self.name, self.derived).values() for name in names}
        if strange := [name for name in self.hidden if name not in others]:
            return [
                f"hidden: {', '.join(strange)} is no feature that derived ones can read; there are {', '.join(others)}"
            ]
        if idle := [name for name in self.hidden if name not in read]:
            return [f"hidden: {', '.join(idle)} is read by no derived feature: leave it out of the view"]
        return [f"hidden: {', '.join(_repeated(self.hidden))} twice"] if _repeated(self.hidden) else []


def _repeated(names: list[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)
