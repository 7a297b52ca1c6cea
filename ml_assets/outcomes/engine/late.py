"""Facts that became known only after a label had settled: not used, and counted."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from ml_assets.features.engine.keys import ComparedKeys, compare_keys
from ml_assets.features.engine.parts import ComputedPart
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.outcomes.engine.windows import END, HAPPENED_AT, KNOWN_AT, OutcomeWindow, window_view
from ml_assets.outcomes.spec import OutcomeSpec

MOMENT_NUMBER = "__moment__"
"""Column of the number of an entity and window that a fact was too late for."""

_LATE, _ROW = "__late__", "__row_of_part__"


@dataclass(frozen=True)
class LateFacts:
    """The rows of a spine by whether a fact of an outcome's window came too late.

    The engine takes a fact from the moment at which it happened. Where one of a window was not known in time, the
    window is computed from its own facts instead: each entity and moment as an entity of its own.

    Attributes:
        window: of the outcome.
        spine: the rows, with the END of all windows that are computed together.
        facts: as `facts_of` selects them of the outcome alone.
        moments: the distinct entities and window ends that a fact was too late for, numbered, with the count of such
            facts.
    """

    window: OutcomeWindow
    spine: pl.LazyFrame
    facts: pl.LazyFrame
    keys: ComparedKeys
    moments: pl.DataFrame

    @classmethod
    def find(cls, window: OutcomeWindow, spine: pl.LazyFrame, facts: pl.LazyFrame) -> "LateFacts":
        """Look for facts that were too late for a row."""
        outcome = window.outcome
        keys = compare_keys(window_view([OutcomeWindow(outcome)]), spine.collect_schema(), facts.collect_schema())
        rows = spine.select(window.end.alias(END), *keys.of_spine)
        if outcome.known_at is None:
            moments = rows.head(0).with_columns(pl.lit(0).alias(_LATE))
        else:
            suspects = facts.filter(pl.col(KNOWN_AT) > pl.col(HAPPENED_AT) + outcome.delay)
            pairs = _within(outcome, rows.unique(), suspects, keys).filter(~_in_time(outcome))
            moments = pairs.group_by(END, *keys.names).len(_LATE)
        found = moments.sort(END, *keys.names).with_row_index(MOMENT_NUMBER).collect(engine="streaming")
        return cls(window, spine, facts, keys, found)

    @property
    def outcome(self) -> OutcomeSpec:
        """The outcome, with a window of the length of these rows."""
        return self.window.outcome

    @property
    def too_late(self) -> int:
        """How many facts were too late, once for each entity and window."""
        return int(self.moments[_LATE].sum())

    def untouched(self, part: ComputedPart) -> ComputedPart:
        """Select the rows that no fact was too late for."""
        if not self.moments.height:
            return part
        numbered = part.rows.lazy().with_row_index(_ROW).with_columns(self._of_spine)
        kept = numbered.join(self.moments.lazy(), on=[END, *self.keys.names], how="anti", maintain_order="left")
        rows = kept.select(_ROW).collect().to_series()
        return ComputedPart(part.rows[rows], part.features[rows])

    @property
    def touched(self) -> pl.LazyFrame:
        """The other rows, each with the END of the outcome's own window and the number of that and its entity."""
        own, moments = self.spine.with_columns(self._of_spine), self.moments.lazy().drop(_LATE)
        return own.join(moments, on=[END, *self.keys.names]).drop(self.keys.names)

    @cached_property
    def known_in_time(self) -> pl.LazyFrame:
        """The facts of each of `moments` that were known in time."""
        moments = self.moments.lazy().drop(_LATE)
        return _within(self.outcome, moments, self.facts, self.keys).filter(_in_time(self.outcome)).drop(END)

    def view(self, view: FeatureViewSpec) -> FeatureViewSpec:
        """Return the view over the facts by moment instead of by entity."""
        return view.model_copy(update={"entity": [MOMENT_NUMBER], "spine_keys": {}})

    @property
    def _of_spine(self) -> list[pl.Expr]:
        return [self.window.end.alias(END), *self.keys.of_spine]


def _in_time(outcome: OutcomeSpec) -> pl.Expr:
    return pl.col(KNOWN_AT) <= pl.col(END) + outcome.delay


def _within(outcome: OutcomeSpec, moments: pl.LazyFrame, facts: pl.LazyFrame, keys: ComparedKeys) -> pl.LazyFrame:
    """Pair windows with the facts in them."""
    begin = pl.col(END) - outcome.length
    if not keys.names:
        return moments.join_where(facts, begin < pl.col(HAPPENED_AT), pl.col(END) >= pl.col(HAPPENED_AT))
    paired = moments.join(facts.with_columns(keys.of_table), on=keys.names)
    return paired.filter(pl.col(HAPPENED_AT).is_between(begin, pl.col(END), closed="right"))
