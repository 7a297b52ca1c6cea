"""The order of known facts: where in an entity's history a moment falls."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.features.keys import ComparedKeys, compare_keys
from ml_assets.features.packing import Packing
from ml_assets.features.spec import FeatureViewSpec

_CODE = "__entity_code__"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Timeline:
    """A view's table rows by entity and known_at, and the moments asked about.

    The moments are the distinct (entity, time) pairs of the spine, sorted. Whatever has one value per moment
    goes back to the spine's rows with `to_spine`.

    Attributes:
        events: the table's columns, sorted by entity, then known_at.
        event_keys: int64, the packed (entity, known_at) of each row of `events`.
        packing: what packed them.
        entities: int64, the entity code of each moment; codes of unknown entities lie beyond all events.
        times: int64, the microseconds of each moment.
        moment_of_row: int64, the moment of each spine row.
    """

    events: pl.DataFrame
    event_keys: np.ndarray
    packing: Packing | None
    entities: np.ndarray
    times: np.ndarray
    moment_of_row: np.ndarray
    _counts: dict[timedelta | None, np.ndarray] = field(default_factory=dict)

    def known_before(self, age: timedelta | None) -> np.ndarray:
        """How many rows of `events` lie at or before (entity, time - age), for each moment; int64.

        The rows of the window t - w < known_at <= t are therefore those from `known_before(w)` up to, not
        including, `known_before(timedelta(0))`. Age None stands for ever: the rows of earlier entities only.
        """
        if age not in self._counts:
            self._counts[age] = self._count(age)
        return self._counts[age]

    def to_spine(self, per_moment: pl.DataFrame) -> pl.DataFrame:
        """Turn a frame with one row per moment into one with one row per spine row, in the spine's order."""
        return per_moment[self.moment_of_row]

    def _count(self, age: timedelta | None) -> np.ndarray:
        if self.packing is None:
            return np.zeros(self.times.size, np.int64)
        always = np.full(self.times.size, np.iinfo(np.int64).min)
        moments = always if age is None else self.times - age // _MICROSECOND
        return np.searchsorted(self.event_keys, self.packing.pack(self.entities, moments), side="right")


def build_timeline(view: FeatureViewSpec, spine: pl.DataFrame, table: pl.LazyFrame, time: str) -> Timeline:
    """Sort the table rows that can matter to the spine, and the spine's moments, by entity and time.

    Args:
        view: a view with `known_at`.
        spine: keys and the time column; checked already.
        table: rows with the view's `table_columns`; checked already. Rows with a null known_at or key, of
            entities that the spine does not have, or out of reach of its times are left out.
        time: name of the spine's time column.

    Raises:
        FeatureError: the key types of spine and table do not fit.
    """
    keys = compare_keys(view, spine.schema, table.collect_schema())
    codes, spine_codes = _entity_codes(spine.select(keys.of_spine), spine.height)
    events = _reachable(view, spine[time], table, keys, codes)
    event_times = events[view.known_at].to_physical().to_numpy()
    packing = Packing.for_ticks(event_times, codes.height) if events.height else None
    event_keys = packing.pack(events[_CODE].to_numpy(), event_times) if packing else event_times
    order = pl.Series(event_keys).arg_sort()
    spine_times = spine[time].to_physical().to_numpy()
    first, moment_of_row = _distinct(spine_codes, spine_times, codes.height)
    return Timeline(
        events=events[order].drop(_CODE),
        event_keys=event_keys[order.to_numpy()],
        packing=packing,
        entities=spine_codes[first],
        times=spine_times[first],
        moment_of_row=moment_of_row,
    )


def _entity_codes(keys: pl.DataFrame, rows: int) -> tuple[pl.DataFrame, np.ndarray]:
    """Number the entities of the spine's `rows` rows: keys with code, and each row's code.

    A row with a null key gets the code after the last one, which no event has.
    """
    if not keys.width:
        return pl.DataFrame({_CODE: [0]}), np.zeros(rows, np.int64)
    codes = keys.unique().drop_nulls().with_row_index(_CODE).cast({_CODE: pl.Int64})
    joined = keys.join(codes, on=keys.columns, how="left", maintain_order="left")
    return codes, joined[_CODE].fill_null(codes.height).to_numpy()


def _reachable(
    view: FeatureViewSpec, times: pl.Series, table: pl.LazyFrame, keys: ComparedKeys, codes: pl.DataFrame
) -> pl.DataFrame:
    known_at = pl.col(view.known_at)
    rows = table.select(view.table_columns).filter(known_at.is_not_null())
    rows = rows.filter(known_at <= times.max()) if len(times) else rows.head(0)
    if view.look_back is not None and len(times):
        rows = rows.filter(known_at > times.min() - view.look_back)
    if not keys.names:
        return rows.with_columns(pl.lit(0, pl.Int64).alias(_CODE)).collect()
    coded = rows.with_columns(keys.of_table).join(codes.lazy(), on=keys.names, how="inner")
    return coded.drop(keys.names).collect()


def _distinct(entities: np.ndarray, times: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A spine row for each distinct (entity, time), in their order, and each spine row's place among them."""
    if not times.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    keys = Packing.for_ticks(times, count).pack(entities, times)
    order = pl.Series(keys).arg_sort().to_numpy()
    starts = np.concatenate([[True], np.diff(keys[order]) != 0])
    moment_of_row = np.empty(times.size, np.int64)
    moment_of_row[order] = np.cumsum(starts) - 1
    return order[starts], moment_of_row
