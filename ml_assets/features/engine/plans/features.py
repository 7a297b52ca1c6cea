"""Features of what is planned: summaries over a window ahead, and the value that holds at a moment."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

import numpy as np
import polars as pl

from ml_assets.features.declared.plans import PlannedFeature, PlanSpec
from ml_assets.features.engine.plans.announcements import Announcements, read_announcements
from ml_assets.features.engine.plans.covers import Cover, PlanMoments, covered_extremes
from ml_assets.features.engine.timeline import Timeline
from ml_assets.features.engine.windows.observations import Observations, observe, refuse_functions
from ml_assets.features.engine.windows.summarise import summarise
from ml_assets.features.spec import FeatureViewSpec

_MICROSECOND = timedelta(microseconds=1)


def planned_features(view: FeatureViewSpec, spine: pl.DataFrame, timeline: Timeline, time: str) -> pl.DataFrame:
    """Compute the view's features of planned facts: one row per spine row, columns in declared order.

    Sees announcements known by each row's time alone, and of those about one thing the last. A window (from, to] takes
    the facts with valid_at <= to and valid_until > from, or those that happen in it; a moment those that hold at it.

    Args:
        spine: the time column and the columns that the features are about; checked already.

    Raises:
        FeatureError: an expression fails, or cannot be summarised as declared.
    """
    plan = view.planned
    if plan is None:
        return pl.DataFrame()
    told = _Told(view, plan, read_announcements(view, plan, timeline), timeline)
    fixed = {name: feature for name, feature in plan.features.items() if feature.at is None}
    columns = {column.name: column for column in timeline.to_spine(told.of_all(fixed))}
    for at in plan.moments:
        moving = {name: feature for name, feature in plan.features.items() if feature.at == at}
        leads = (spine[at].to_physical() - spine[time].to_physical()).cast(pl.Int64)
        columns |= {column.name: column for column in told.of_rows(moving, leads)}
    return pl.DataFrame([columns[name] for name in plan.features])


class _Told:
    """A plan's announcements, and what is seen of them at moments of a timeline."""

    def __init__(self, view: FeatureViewSpec, plan: PlanSpec, announced: Announcements, timeline: Timeline) -> None:
        self._plan, self._announced, self._timeline = plan, announced, timeline
        self._where = {
            base: f"feature view {view.name!r}, planned.aggregates.{base}: `{spec.of}`"
            for base, spec in plan.aggregates.items()
        }
        self._observed = {base: _observe(self._where[base], announced.values[base], plan) for base in plan.aggregates}
        order = announced.in_order
        self._order = order
        self._rank = np.empty(len(order), np.int64)
        self._rank[order.to_numpy()] = np.arange(len(order))
        codes = (announced.entities.max(initial=0), timeline.entities.max(initial=0))
        self._codes = int(max(codes))

    def of_all(self, features: Mapping[str, PlannedFeature]) -> pl.DataFrame:
        """Compute features for every moment of the timeline."""
        moments = PlanMoments(self._timeline.entities, self._timeline.times, self._codes)
        return pl.DataFrame([self._feature(name, f, f.lead, moments) for name, f in features.items()])

    def of_rows(self, features: Mapping[str, PlannedFeature], leads: pl.Series) -> pl.DataFrame:
        """Compute features for every row of the spine, each so long after its time (microseconds) as `leads` says; null
        for null. The work is done once for each lead there is."""
        rows, parts = pl.int_range(len(leads), dtype=pl.UInt32, eager=True), []
        for lead, own, places, moments in self._by_lead(leads):
            columns = [self._feature(name, f, lead, moments).gather(places) for name, f in features.items()]
            parts.append(pl.DataFrame([*columns, own.alias(_ROW)]))
        empty = PlanMoments(np.empty(0, np.int64), np.empty(0, np.int64), self._codes)
        nothing = [self._feature(name, f, timedelta(0), empty) for name, f in features.items()]
        found = pl.concat([pl.DataFrame([*nothing, pl.Series(_ROW, [], pl.UInt32)]), *parts])
        return rows.to_frame(_ROW).join(found, on=_ROW, how="left", maintain_order="left").drop(_ROW)

    def _by_lead(self, leads: pl.Series) -> Iterator[tuple[timedelta, pl.Series, np.ndarray, PlanMoments]]:
        """Yield each lead with its rows of the spine, the place of each among the moments of these rows, and these."""
        numbered = pl.DataFrame({"lead": leads, "moment": self._timeline.moment_of_row}).with_row_index(_ROW)
        for (lead,), rows in numbered.drop_nulls("lead").group_by("lead", maintain_order=True):
            distinct, places = np.unique(rows["moment"].to_numpy(), return_inverse=True)
            moments = PlanMoments(self._timeline.entities[distinct], self._timeline.times[distinct], self._codes)
            yield timedelta(microseconds=int(lead)), rows[_ROW], places, moments

    def _feature(self, name: str, feature: PlannedFeature, lead: timedelta, moments: PlanMoments) -> pl.Series:
        held = feature.function is None or self._plan.valid_until is not None
        until = self._announced.ends if held else self._announced.begins
        start, end = self._ranges(lead, feature.length, until, moments)
        if feature.function is None:
            return self._value(feature.base, start, end, moments.size).alias(name)
        observations, present = self._observed[feature.base]
        covers = np.flatnonzero(end[present] > start[present])
        seen = Observations(observations.values[covers], observations.present[covers], observations.dtype, None)
        rows = present[covers]
        cover = Cover(seen, start[rows], end[rows], moments.size)
        return summarise(self._where[feature.base], feature.function, cover).alias(name)

    def _ranges(
        self, lead: timedelta, length: timedelta, until: np.ndarray, moments: PlanMoments
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the moments at which each announcement is seen: from start up to, without, end."""
        first, end = self._announced.seen(lead, length, until=until)
        entities = self._announced.entities
        return moments.places(entities, first), moments.places(entities, end)

    def _value(self, base: str, start: np.ndarray, end: np.ndarray, size: int) -> pl.Series:
        rows = np.flatnonzero(end > start)
        # Ranks from 1: where nothing holds the largest is none of them.
        last = covered_extremes(self._rank[rows] + 1, start[rows], end[rows], size, np.maximum)
        place = pl.Series(np.maximum(last, 1) - 1).set(pl.Series(last < 1), None)
        return self._announced.values[base].gather(self._order.gather(place))


_ROW = "__row__"


def _observe(where: str, values: pl.Series, plan: PlanSpec) -> tuple[Observations, np.ndarray]:
    """Return the values that are there, and the rows that they are of."""
    refuse_functions(where, values.dtype, plan.aggregates[values.name].functions)
    observations = observe(where, values)
    if observations.offsets is None:
        return observations, np.arange(len(values))
    return observations, np.flatnonzero(np.diff(observations.offsets))
