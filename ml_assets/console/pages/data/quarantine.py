"""Rows in a source's quarantine: filtered, counted by rule, a page at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import polars as pl

from ml_assets.declarations.specs import DeclaredSource
from ml_assets.lake import Lake
from ml_assets.quality.gate import COLUMNS, ROW, RULES, SEPARATOR
from ml_assets.sources.spec import CONTENT_HASH, DROP

PAGE = 50
"""Rows on a page."""

_DIGITS = 12
"""Of a page's number, at most."""

_BATCH = 20_000
"""Rows of a download that are in memory at once."""


class WrongFilter(ValueError):
    """A filter that cannot be meant; the message says which and what there is."""


@dataclass(frozen=True)
class Filters:
    """What rows of a quarantine are wanted.

    Attributes:
        rule: one that they broke; empty for any.
        drop: that they came in; empty for any.
        column, text: a column whose value, as text, contains a text, whatever its case.
        page: from 1.
    """

    rule: str = ""
    drop: str = ""
    column: str = ""
    text: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Filters":
        """Read filters from the parameters of an address; raises WrongFilter for a page that is no number from 1."""
        page = query.get("page") or "1"
        if not page.isdecimal() or len(page) > _DIGITS or int(page) < 1:
            shown = page if len(page) <= 2 * _DIGITS else f"{page[:_DIGITS]}..."
            raise WrongFilter(f"page {shown!r}: must be a whole number from 1")
        texts = {name: query.get(name, "").strip() for name in ("rule", "drop", "column", "text")}
        return cls(**texts, page=int(page))

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address, without the page and what is empty."""
        named = {name: getattr(self, name) for name in ("rule", "drop", "column", "text")}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True)
class QuarantinePage:
    """Some rows of a quarantine.

    Attributes:
        columns: shown, in their order; those that the contract marks as private are not among them.
        rows: of this page.
        matching: rows that the filters leave, on all pages.
        total: rows in quarantine.
        rules: rule -> rows of the whole quarantine that broke it; a row may have broken several.
        drops: drop -> its rows in quarantine.
    """

    source: DeclaredSource
    filters: Filters
    columns: tuple[str, ...]
    private: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    matching: int
    total: int
    rules: dict[str, int]
    drops: dict[str, int]

    @property
    def pages(self) -> int:
        return max(-(-self.matching // PAGE), 1)


class Quarantine:
    """The quarantine of a source, read lazily."""

    def __init__(self, lake: Lake, source: DeclaredSource) -> None:
        self._lake, self._source = lake, source
        self._key = source.table("quarantine")

    @cached_property
    def private(self) -> tuple[str, ...]:
        """Columns that are not shown."""
        from ml_assets.quality.contracts import load_contract, private_columns

        hidden = private_columns(load_contract(self._source.contract))
        return tuple(name for name in self._schema.names() if name in hidden)

    @cached_property
    def columns(self) -> list[str]:
        """Columns that are shown: the drop and the place of a row in it, what it broke, then its values."""
        about = [name for name in (DROP, ROW, RULES, COLUMNS) if name in self._schema]
        rest = [name for name in self._schema.names() if name not in (*about, CONTENT_HASH, *self.private)]
        return [*about, *rest]

    @cached_property
    def _schema(self) -> pl.Schema:
        return self._rows.collect_schema()

    @cached_property
    def _rows(self) -> pl.LazyFrame:
        return self._lake.scan(self._key) if self._lake.exists(self._key) else pl.LazyFrame()

    def select(self, filters: Filters) -> pl.LazyFrame:
        """Return the columns that are shown of the rows that the filters leave.

        Raises:
            WrongFilter: a column is not there, or is private.
        """
        if filters.column and filters.column not in self.columns:
            raise WrongFilter(f"column {filters.column!r}: is not shown; there are {', '.join(self.columns)}")
        rows = self._rows
        if filters.drop:
            rows = rows.filter(pl.col(DROP) == filters.drop)
        if filters.rule:
            rows = rows.filter(pl.col(RULES).str.split(SEPARATOR).list.contains(filters.rule))
        if filters.text:
            looked_at = [filters.column] if filters.column else self.columns
            wanted = filters.text.lower()
            texts = [pl.col(name).cast(pl.String).str.to_lowercase() for name in looked_at]
            rows = rows.filter(pl.any_horizontal(text.str.contains(wanted, literal=True) for text in texts))
        return rows.select(self.columns)

    def page(self, filters: Filters, rules: Mapping[str, int] | None = None) -> QuarantinePage:
        """Read one page; see `select`.

        Args:
            rules: as `rules` counts them, where they are known already.
        """
        drops = {drop: rows for drop, rows in self._lake.rows_by(self._key, DROP).items() if rows}
        about = {"source": self._source, "filters": filters, "private": self.private if drops else ()}
        if not drops:
            return QuarantinePage(**about, columns=(), rows=(), matching=0, total=0, rules={}, drops={})
        matching, shown = self._matching(filters, drops)
        return QuarantinePage(
            **about,
            columns=tuple(self.columns),
            rows=tuple(shown.iter_rows(named=True)),
            matching=matching,
            total=sum(drops.values()),
            rules=dict(self.rules() if rules is None else rules),
            drops=dict(sorted(drops.items(), reverse=True)),
        )

    def batches(self, filters: Filters) -> Iterator[pl.DataFrame]:
        """Return the rows that the filters leave, some at a time; the first batch is empty, and has the columns.

        Raises:
            WrongFilter: as of `select`, before there is any batch.
        """
        rows = self.select(filters)
        nothing = pl.DataFrame(schema=rows.collect_schema())
        return chain([nothing], rows.collect_batches(chunk_size=_BATCH, maintain_order=True))

    def _matching(self, filters: Filters, drops: Mapping[str, int]) -> tuple[int, pl.DataFrame]:
        """Count the rows that the filters leave, and read those of the page; without a filter but the drop the log
        tells where these lie."""
        rows, first = self.select(filters), (filters.page - 1) * PAGE
        if not filters.rule and not filters.text:
            wanted = {drop: count for drop, count in drops.items() if filters.drop in ("", drop)}
            lying, before = _page_of(wanted, first)
            shown = rows.filter(pl.col(DROP).is_in(lying)).sort(DROP, ROW, descending=[True, False])
            return sum(wanted.values()), shown.slice(first - before, PAGE).collect()
        ordered = rows.sort(DROP, ROW, descending=[True, False]).slice(first, PAGE)
        counted, shown = pl.collect_all([rows.select(pl.len()), ordered])
        return counted.item(), shown

    def rules(self) -> dict[str, int]:
        """Count the rows of the whole quarantine by the rules that they broke, the most frequent first."""
        if not self._lake.exists(self._key):
            return {}
        named = self._rows.select(pl.col(RULES).str.split(SEPARATOR).explode().alias("rule"))
        counted = named.filter(pl.col("rule") != "").group_by("rule").len()
        return dict(counted.sort("len", "rule", descending=[True, False]).collect().iter_rows())


def _page_of(drops: Mapping[str, int], first: int) -> tuple[list[str], int]:
    """Return the drops that a page lies in, the newest first, and how many rows lie in those before them.

    Args:
        first: place of the page's first row among all, from 0.
    """
    lying: list[str] = []
    before = seen = 0
    for drop in sorted(drops, reverse=True):
        if seen + drops[drop] <= first:
            before = seen + drops[drop]
        elif seen < first + PAGE:
            lying.append(drop)
        seen += drops[drop]
    return lying, before
