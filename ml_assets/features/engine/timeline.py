"""The order of known facts: where in an entity's history a moment falls."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.features.engine.entities import number_entities
from ml_assets.features.engine.keys import compare_keys
from ml_assets.features.engine.packing import Packing
from ml_assets.features.engine.reach import first_and_last, reachable
from ml_assets.features.expressions import columns_read
from ml_assets.features.spec import FeatureViewSpec

_CODE = "__entity_code__"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Timeline:
    """A view's table rows by entity and known_at, and the moments to compute features at.

    The moments are the distinct (entity, time) pairs of the spine, sorted. Whatever has one value per moment
    goes back to the spine's rows with `to_spine`.

    Attributes:
        events: the columns that the view's expressions and its plan read and known_at, in the order of the table.
        order: UInt32, the rows of `events` sorted by entity, then known_at.
        event_entities: int64, the entity code of each row of `events`.
        event_keys: int64, the packed (entity, known_at) of the rows in `order`.
        packing: what packed them.
        entities: int64, the entity code of each moment; codes of unknown entities lie beyond all events.
        times: int64, the microseconds of each moment.
        moment_of_row: UInt32, the moment of each spine row.
    """

    events: pl.DataFrame
    order: pl.Series
    event_entities: np.ndarray
    event_keys: np.ndarray
    packing: Packing | None
    entities: np.ndarray
    times: np.ndarray
    moment_of_row: pl.Series
    _counts: dict[timedelta | None, np.ndarray] = field(default_factory=dict)

    def known_before(self, age: timedelta | None) -> np.ndarray:
        """Count the rows of `order` that lie at or before (entity, time - age), for each moment; int64.

        The rows of the window t - w < known_at <= t are therefore those from `known_before(w)` up to, not
        including, `known_before(timedelta(0))`. Age None stands for ever: the rows of earlier entities only.
        """
        if age not in self._counts:
            self._counts[age] = self._count(age)
        return self._counts[age]

    def to_spine(self, per_moment: pl.DataFrame) -> pl.DataFrame:
        """Turn a frame with one row per moment into one with one row per spine row, in the spine's order."""
        return per_moment.select(pl.all().gather(self.moment_of_row))

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
    entities = number_entities(compare_keys(view, spine.schema, table.collect_schema()), spine)
    events = reachable(view, table, *first_and_last(spine[time])).pipe(entities.code, _CODE)
    # Sorting moves rows by their number: the columns themselves, text above all, are dearer to move.
    planned = view.planned.columns if view.planned else []
    read = dict.fromkeys([*columns_read(view.name, view.table_expressions), *planned, view.known_at_column])
    events = events.select(_CODE, *read).collect()
    event_times = events[view.known_at_column].to_physical().to_numpy()
    packing = Packing.for_ticks(event_times, entities.count) if events.height else None
    event_keys = packing.pack(events[_CODE].to_numpy(), event_times) if packing else event_times
    order = pl.Series(event_keys).arg_sort()
    spine_times = spine[time].to_physical().to_numpy()
    first, moment_of_row = _distinct(entities.of_spine, spine_times, entities.count)
    return Timeline(
        events=events.drop(_CODE),
        order=order,
        event_entities=events[_CODE].to_numpy(),
        event_keys=event_keys[order.to_numpy()],
        packing=packing,
        entities=entities.of_spine[first],
        times=spine_times[first],
        moment_of_row=moment_of_row,
    )


def _distinct(entities: np.ndarray, times: np.ndarray, count: int) -> tuple[np.ndarray, pl.Series]:
    """Return a spine row for each distinct (entity, time), in their order, and each spine row's place among them."""
    if not times.size:
        return np.empty(0, np.int64), pl.Series(dtype=pl.UInt32)
    keys = Packing.for_ticks(times, count).pack(entities, times)
    order = pl.Series(keys).arg_sort().to_numpy()
    keys = keys[order]
    starts = np.concatenate([[True], keys[1:] != keys[:-1]])
    moment_of_row = np.empty(times.size, np.uint32)
    moment_of_row[order] = np.cumsum(starts, dtype=np.uint32) - np.uint32(1)
    return order[starts], pl.Series(moment_of_row)
