"""A project over tables that a test gives."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, overload

import polars as pl

from ml_assets.declarations.specs import DeclaredSource, DeclaredSpine
from ml_assets.public.features import features_of
from ml_assets.public.outcomes import outcomes_of
from ml_assets.public.project import Project
from ml_assets.public.rows import Moment, Rows, as_moment
from ml_assets.public.tables import OF_SOURCE
from ml_assets.public.unknown import unknown_name
from ml_assets.sources.spec import DROP
from ml_assets.testing.frames import FramesLake
from ml_assets.testing.typed import typed, with_moments_in
from ml_assets.testing.verdict import ContractVerdict, drops_of, judge

EVERYTHING = datetime(9999, 1, 1, tzinfo=UTC)
"""The moment up to which facts are complete that a test gives, unless it says otherwise."""


class GivenProject:
    """A project's declarations over tables in memory, as `ml_assets.testing.project` opens it.

    Every method but `given` answers a question; none writes anything, and a project with a table given is a new one, so
    that tests share what they begin with.

    Args:
        project: the declarations, over a lake of frames.
        lake: that lake.
    """

    def __init__(self, project: Project, lake: FramesLake) -> None:
        self.project = project
        self._lake = lake

    def given(self, table: str, rows: Rows) -> "GivenProject":
        """Return the project with the rows of one more table, or with other rows of it.

        Args:
            table: asset key, such as ``orders/validated``.
            rows: a frame or dictionaries. Columns that a contract declares have its types, and are without values
                where the rows lack them; texts are read as dates and moments, UTC where they name no zone.

        Raises:
            UnknownName: nothing that is declared reads or writes such a table, or its contract has no such column.
            ValueError: a value does not fit its column's type.
        """
        known = self.project.declared_tables
        if table not in known:
            raise unknown_name("table", table, known, self.project.faults)
        frame = self._typed(table, rows)
        self._refuse_unknown(table, frame)
        lake = FramesLake(self._lake.root, {**self._lake.tables, table: frame})
        return GivenProject(self.project.over(lake), lake)

    @overload
    def features(self, of: str, rows: Rows, /) -> pl.DataFrame: ...
    @overload
    def features(self, of: str, /, *, at: Moment, **row: Any) -> dict[str, Any]: ...

    def features(
        self, of: str, rows: Rows | None = None, /, *, at: Moment | None = None, **row: Any
    ) -> pl.DataFrame | dict[str, Any]:
        """Compute the features of a view or a model from the given tables.

        Args:
            of: name of a feature view or a model.
            rows: rows to compute them for, with their times; or else one row:
            at: its moment; UTC where it names no zone.
            row: its columns, by name.

        Returns:
            Of rows these rows with their features; of one row its features alone, by name.

        Raises:
            UnknownName: neither a view nor a model has this name.
            ValueError: a column that the features are made of is missing.
            TableMissing: a table that they are made of was not given.
        """
        views = self.project.views_behind(of)
        spine = self.project.spines[views[0].spine]
        if rows is not None:
            return features_of(self._lake, spine, views, self._typed(spine.table, rows, fill=False))
        needed = [name for view in views for name in view.spine_columns]
        frame = self._row(f"features of {of}", spine, needed, at, row)
        computed = features_of(self._lake, spine, views, frame)
        return computed.select(name for view in views for name in view.feature_names).row(0, named=True)

    @overload
    def outcome(self, of: str, rows: Rows, /, *, complete_until: Moment | None = None) -> pl.DataFrame: ...
    @overload
    def outcome(
        self, of: str, /, *, at: Moment, complete_until: Moment | None = None, **row: Any
    ) -> dict[str, Any]: ...

    def outcome(
        self,
        of: str,
        rows: Rows | None = None,
        /,
        *,
        at: Moment | None = None,
        complete_until: Moment | None = None,
        **row: Any,
    ) -> pl.DataFrame | dict[str, Any]:
        """Compute an outcome from the given facts, which are all there will ever be.

        Args:
            of: name of an outcome.
            rows: rows to compute it for, with their times; or else one row:
            at: its moment; UTC where it names no zone.
            row: the entity as the spine names it, and of a spine with horizons the moment that it looks ahead to.
            complete_until: moment up to which the given facts are complete: an outcome that is known later is null.

        Returns:
            Of rows these rows with the outcome; of one row the aggregates, the outcome, and when it is known, by name.

        Raises:
            UnknownName: no outcome has this name.
            ValueError: a column that is needed is missing.
            TableMissing: the outcome's table was not given.
        """
        outcome = self.project.declared_outcomes[of]
        spine = self.project.spines[outcome.spine]
        until = EVERYTHING if complete_until is None else as_moment(complete_until)
        if rows is not None:
            frame = self._typed(spine.table, rows, fill=False)
            return outcomes_of(self._lake, [outcome], spine, frame, {outcome.name: until})
        needed = [*outcome.spine_entity, *([] if spine.target_at is None else [spine.target_at])]
        frame = self._row(f"the outcome {of}", spine, needed, at, row)
        computed = outcomes_of(self._lake, [outcome], spine, frame, {outcome.name: until})
        return computed.select(*outcome.columns, outcome.name, outcome.known_at_column).row(0, named=True)

    def verdict(self, source: str, rows: Rows, *, drop: str | None = None) -> ContractVerdict:
        """Judge rows as the gate of a source does: which go on, which go to quarantine, and for which rule.

        Rows given of ``<source>/validated`` are those of other drops, whose keys must not come again.

        Args:
            source: name of a source.
            rows: rows of one drop, with the contract's columns.
            drop: name of the drop; by default the one that the first row lies in.

        Raises:
            UnknownName: no source has this name.
            ContractError: the rows lack a column.
            ValueError: a value does not fit its column's type.
        """
        declared = self.project.sources[source]
        return judge(declared, rows, drop, self._lake.tables.get(declared.table("validated")))

    def __repr__(self) -> str:
        given = ", ".join(f"{key} ({frame.height} rows)" for key, frame in sorted(self._lake.tables.items()))
        return f"project {self.project.folder.name}, given {given or 'no table'}"

    def _row(
        self, what: str, spine: DeclaredSpine, needed: Sequence[str], at: Moment | None, row: Mapping[str, Any]
    ) -> pl.DataFrame:
        """Return a row of the spine at a moment."""
        if at is None:
            raise ValueError(f"{what} at which moment? Give at=..., or rows")
        missing = [name for name in dict.fromkeys(needed) if name != spine.time and name not in row]
        if missing:
            raise ValueError(f"{what}: give {', '.join(f'{name}=...' for name in missing)} too")
        return self._typed(spine.table, [{**row, spine.time: as_moment(at)}], fill=False)

    def _typed(self, table: str, rows: Rows, *, fill: bool = True) -> pl.DataFrame:
        """Return rows in the types that the table has, as far as they are declared."""
        source = self._source_of(table)
        frame = typed(rows, self._types(table, source), what=f"rows of {table}", fill=fill)
        moments = [view.known_at for view in self.project.views.values() if view.table == table and view.known_at]
        spines = [spine for spine in self.project.spines.values() if spine.table == table]
        moments += [name for spine in spines for name in (spine.time, spine.target_at) if name]
        facts = [outcome for outcome in self.project.declared_outcomes.values() if outcome.table == table]
        moments += [name for outcome in facts for name in (outcome.happened_at, outcome.known_at) if name]
        frame = with_moments_in(frame, list(dict.fromkeys(moments)))
        if fill and source is not None and DROP not in frame.columns:
            frame = frame.with_columns(pl.Series(DROP, drops_of(source, frame), dtype=pl.String))
        return frame

    def _refuse_unknown(self, table: str, frame: pl.DataFrame) -> None:
        """Raise UnknownName if the rows of a source's table have a column that its contract does not know."""
        source = self._source_of(table)
        if source is None or table != source.table("validated"):
            return
        columns = [*self._types(table, source), DROP]
        unknown = [name for name in frame.columns if name not in columns]
        if unknown:
            raise unknown_name(f"column of {table}", unknown[0], columns)

    def _source_of(self, table: str) -> DeclaredSource | None:
        named = (source for source in self.project.sources.values() if table in map(source.table, OF_SOURCE))
        return next(named, None)

    def _types(self, table: str, source: DeclaredSource | None) -> Mapping[str, pl.DataType]:
        from ml_assets.quality.contracts import contract_schema, load_contract

        spines = [spine for spine in self.project.spines.values() if spine.table == table]
        made = next((spine.entities for spine in spines if spine.entities is not None), None)
        of_entities = None if made is None else self._source_of(made.table)
        if source is None and made is not None and of_entities is not None:
            types = self._types(made.table, of_entities)
            return {name: types[name] for name in [*made.key, *made.columns] if name in types}
        declared = [spine.contract for spine in spines if spine.contract]
        contract = source.contract if source is not None else next(iter(declared), None)
        return {} if contract is None else contract_schema(load_contract(contract))
