"""The facts of a build, read range after range of entities: what is held at once does not grow with their number."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.online.building.affected import FADING
from ml_assets.online.facts.union import RETRACTS, reachable_facts, typed, union_facts
from ml_assets.online.values.keys import ENTITY, entity_text, with_entity
from ml_assets.online.values.record import microseconds

FACTS_IN_PART = 500_000
"""Facts that are computed and written at once, about 300 MB with ten features; those of one entity stay together."""

_SAMPLED = 100_000
"""Facts that are drawn to find the ranges of entities."""

_PART = "__part__"


@dataclass(frozen=True)
class BuildFacts:
    """The facts that a build is made from.

    Attributes:
        view: of stored features only.
        table: the view's table, or what it has of some entities.
        pushed: facts that were pushed, in order; None for none.
        only: the keys of these entities; None for all.
    """

    view: FeatureViewSpec
    table: pl.LazyFrame
    pushed: pl.LazyFrame | None
    as_of: datetime
    only: pl.DataFrame | None = None

    def of(self, affected: pl.DataFrame, folder: Path) -> "BuildFacts":
        """Return the facts of the entities that an update computes, which are read in one pass and kept in a folder.

        Args:
            affected: as `affected_entities` gives them. Those that are FADING are left out if a fact of theirs is left.
        """
        keys = self.view.entity
        some = replace(self, only=affected.select(keys))
        some._candidates(self.table).sink_ipc(folder / "some.arrow")
        read = pl.scan_ipc(folder / "some.arrow")
        left = read.join(affected.lazy().filter(FADING), on=keys, how="semi").select(keys).unique()
        pushed = some._candidates_of_pushed()
        if pushed is not None and RETRACTS in pushed.collect_schema():
            left = left.join(pushed.filter(RETRACTS), on=keys, how="anti")
        computed = affected.select(keys).join(left.collect(), on=keys, how="anti")
        return replace(some, table=read, only=computed)

    @property
    def empty(self) -> pl.DataFrame:
        """The columns of a part, without rows."""
        return self._gather(self._none(self.table), None if self.pushed is None else self._none(self.pushed))

    def ranges(self, facts_in_part: int) -> list[str]:
        """Return the texts of entities, ascending, that cut the facts in parts of about a size."""
        known = self._candidates(self.table)
        rows = _count(known)
        parts = -(-rows // facts_in_part)
        if parts < 2 or not self.view.entity:
            return []
        step = max(rows // max(_SAMPLED, 20 * parts), 1)
        sample = known.select(self.view.entity).gather_every(step).collect(engine="streaming")
        texts = with_entity(self.view, sample)[ENTITY].sort()
        return texts.gather([len(texts) * part // parts for part in range(1, parts)]).unique().sort().to_list()

    def parts(self, ranges: list[str], done: int, folder: Path) -> Iterator[pl.DataFrame]:
        """Yield `view.table_columns`, PUSHED, RETRACTS if there is one, and ENTITY, which they are sorted by.

        Args:
            ranges: where the parts are cut.
            done: how many of them, from the first, are left out.
            folder: an empty folder, where they are kept if there are several.
        """
        table, pushed = self._candidates(self.table), self._candidates_of_pushed()
        if not ranges:
            if not done:
                yield self._gather(table, pushed)
            return
        self._divide(table, ranges, done, folder / "table", in_order=False)
        if pushed is not None:
            self._divide(pushed, ranges, done, folder / "pushed", in_order=True)
        for part in range(done, len(ranges) + 1):
            of_pushed = None if pushed is None else self._read(folder / "pushed", part, pushed)
            yield self._gather(self._read(folder / "table", part, table), of_pushed)

    def without(self, there: pl.DataFrame, ranges: list[str], part: int) -> list[str]:
        """Return the texts of those of the entities to read that a part has no facts of.

        Args:
            there: ENTITY of those that it has.
        """
        if self.only is None:
            return []
        texts = with_entity(self.view, self.only).select(ENTITY)
        of_part = pl.Series(ranges, dtype=pl.String).search_sorted(texts[ENTITY], side="right") == part
        return texts.filter(of_part).join(there, on=ENTITY, how="anti")[ENTITY].to_list()

    def newest(self, expected: datetime | None = None) -> datetime | None:
        """Return when the newest fact was known; None for none.

        Args:
            expected: a moment near it: the table is read from then on first, which is cheap.
        """
        if self.view.known_at is None:
            return None
        known_at = pl.col(self.view.known_at)
        table, pushed = self._candidates(self.table), self._candidates_of_pushed()
        if expected is not None:
            newest = replace(self, table=self.table.filter(known_at >= expected)).newest()
            return newest if newest is not None and newest >= expected else self.newest()
        if pushed is None:
            return _newest(table, known_at)
        if RETRACTS not in pushed.collect_schema():
            return _newest(pl.concat([table.select(known_at), pushed.select(known_at)]), known_at)
        # Only facts of the moments at which some were taken back have to be held against each other.
        taken = pushed.filter(RETRACTS).select(known_at.unique()).collect()
        back = known_at.is_in(taken.to_series().to_list())
        left = pl.concat([table.filter(~back).select(known_at), pushed.filter(~back).select(known_at)])
        moments = [
            _newest(left, known_at),
            _newest(union_facts(table.filter(back), pushed.filter(back), self.view), known_at),
        ]
        return max((moment for moment in moments if moment is not None), default=None)

    def _candidates(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Select the rows of the table that may matter: `reachable_facts` without what one part alone can tell."""
        rows = self._of_entities(rows.select(self.view.table_columns))
        if self.view.known_at is None:
            return rows
        known_at = pl.col(self.view.known_at)
        rows = rows.filter(known_at <= self.as_of)
        return rows if self.view.look_back is None else rows.filter(known_at > self.as_of - self.view.look_back)

    def _candidates_of_pushed(self) -> pl.LazyFrame | None:
        if self.pushed is None:
            return None
        types = self.table.collect_schema()
        rows = self._of_entities(typed(self.pushed, {name: types[name] for name in self.view.table_columns}))
        if self.view.look_back is None:
            return rows
        return rows.filter(pl.col(self.view.known_at_column) > self.as_of - self.view.look_back)

    def _of_entities(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        keys = self.view.entity
        rows = rows.filter(pl.all_horizontal(pl.col(keys).is_not_null())) if keys else rows
        return rows if self.only is None else rows.join(self.only.lazy(), on=keys, how="semi", maintain_order="left")

    def _gather(self, table: pl.LazyFrame, pushed: pl.LazyFrame | None) -> pl.DataFrame:
        facts = reachable_facts(self.view, table, pushed, microseconds(self.as_of)).collect()
        return with_entity(self.view, facts).sort(ENTITY, maintain_order=True)

    def _none(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        return pl.LazyFrame(schema=rows.collect_schema())

    def _divide(self, rows: pl.LazyFrame, ranges: list[str], done: int, folder: Path, *, in_order: bool) -> None:
        cuts = pl.Series(ranges, dtype=pl.String)

        def number(texts: pl.Series) -> pl.Series:
            return cuts.search_sorted(texts, side="right").cast(pl.UInt32)

        text = entity_text(self.view, rows.collect_schema())
        part = text.map_batches(number, return_dtype=pl.UInt32, is_elementwise=True)
        if done:
            rows = rows.filter(part >= done)
        by_part = pl.PartitionBy(folder, key={_PART: part}, include_key=False)
        rows.sink_ipc(by_part, mkdir=True, maintain_order=in_order)

    def _read(self, folder: Path, part: int, rows: pl.LazyFrame) -> pl.LazyFrame:
        files = folder / f"{_PART}={part}"
        return pl.scan_ipc(files) if files.exists() else self._none(rows)


def _count(rows: pl.LazyFrame) -> int:
    return rows.select(pl.len()).collect(engine="streaming").item()


def _newest(rows: pl.LazyFrame, known_at: pl.Expr) -> datetime | None:
    return rows.select(known_at.max()).collect(engine="streaming").item()
