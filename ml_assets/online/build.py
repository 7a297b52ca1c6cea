"""A build: the values of every entity of a view, as of a moment and for the time until they expire."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import declaration_of, refuse_moments_of_rows, stored_view
from ml_assets.online.building.affected import affected_entities
from ml_assets.online.building.facts import FACTS_IN_PART, BuildFacts
from ml_assets.online.building.plan import BuildPlan, find_resumable
from ml_assets.online.facts.blob import decode_schema, encode_facts, encode_schema
from ml_assets.online.facts.union import SEQ, split_facts, union_facts
from ml_assets.online.push import PushedView
from ml_assets.online.stores.protocol import OnlineStore
from ml_assets.online.stores.records import CurrentBuild, StagedBuild
from ml_assets.online.values.keys import ENTITY, with_entity
from ml_assets.online.values.moments import CHUNK, SINCE, build_moments
from ml_assets.online.values.payload import encode_moments, encode_unseen
from ml_assets.online.values.record import Build
from ml_assets.online.values.unseen import unseen_values

__all__ = ["Build", "build_view"]

ChangedSince = Callable[[int], pl.LazyFrame | None]
"""Gives the rows that tell the view's table from an earlier version of it, with CHANGE; None where too many."""

FilesOf = Callable[[int], str | None]
"""Gives a digest of the files of a version of the view's table; None where it cannot be read any more."""

UPDATED_SHARE = 0.2
"""Share of the entities beyond which a build computes all: they are published in one step without being moved."""


def build_view(
    store: OnlineStore,
    view: FeatureViewSpec,
    table: pl.LazyFrame,
    *,
    as_of: datetime,
    max_age: timedelta,
    build: str,
    pushed: pl.LazyFrame | None = None,
    pushed_seq: int = 0,
    table_version: int | None = None,
    files_of: FilesOf | None = None,
    changed_since: ChangedSince | None = None,
    chunk: int = CHUNK,
    facts_in_part: int = FACTS_IN_PART,
) -> Build:
    """Compute the values of all entities of a view and publish them in place of the build before.

    Readers see the old build until the new one is whole. Facts that are pushed meanwhile are in both. It is written
    in parts, each a range of entities; one of the same table, moment and declaration that was given up goes on behind
    its last part. With `changed_since` only those entities are computed whose facts or values may differ from the build
    before: an update of it.

    Args:
        table: the view's table.
        as_of: facts of the table known later are left out; requests of earlier moments find no values.
        max_age: how long after `as_of` values are served; without effect on a static table.
        build: text that no other build of this view has; the declaration that it was made by is put behind it.
        pushed: facts that were pushed, `view.table_columns` in order, with RETRACTS if some were taken back: all up to
            number `pushed_seq` that can matter. With SEQ they may be cut at an earlier number.
        table_version: of the table, to be recorded.
        files_of: tells a version from another table's of that number; None where the table is never made anew.
        changed_since: for updates.
        chunk: how many moments are computed at once.
        facts_in_part: how many facts are computed and written at once.

    Raises:
        FeatureError: as the engine does; or a feature is of a type that no model takes.
        StaleBuild: a newer build was published meanwhile.
    """
    kept = stored_view(view)
    refuse_moments_of_rows(kept)
    wanted = Build(
        view=view.name,
        build=f"{build}@{declaration_of(kept)}",
        as_of=as_of,
        valid_until=None if kept.known_at is None else as_of + max_age,
        table_version=table_version,
        table_files=None if files_of is None or table_version is None else files_of(table_version),
        pushed_seq=pushed_seq,
    )
    with TemporaryDirectory(prefix="ml_assets-online-") as folder:
        served_for = None if kept.known_at is None else max_age
        making = _Making(store, kept, table, pushed, served_for, changed_since, files_of, Path(folder))
        plan, staged, facts = making.resume(wanted) or making.begin(wanted, facts_in_part)
        return making.make(plan, staged, facts, chunk)


@dataclass(frozen=True)
class _Making:
    """How a view is built; attributes as `build_view` takes them, and an empty folder."""

    store: OnlineStore
    view: FeatureViewSpec
    table: pl.LazyFrame
    pushed: pl.LazyFrame | None
    max_age: timedelta | None
    changed_since: ChangedSince | None
    files_of: FilesOf | None
    folder: Path

    def resume(self, wanted: Build) -> tuple[BuildPlan, StagedBuild, BuildFacts] | None:
        """Go on with a build that was given up; None where there is none of these facts."""
        base = self._current()
        resumable = find_resumable(self.store, wanted, None if base is None else base.build.build)
        if resumable is None:
            return None
        plan, staged = resumable
        if plan.build.pushed_seq < wanted.pushed_seq and not self._numbered:
            return None
        only = None
        if plan.base is not None:
            only = None if base is None else self._affected(base, plan.build)
            if only is None:
                return None
        facts = self._facts(plan.build)
        if plan.facts != _digest(facts):  # Facts that are read together have the same columns.
            return None
        return plan, staged, facts if only is None else facts.of(only, self.folder)

    def begin(self, wanted: Build, facts_in_part: int) -> tuple[BuildPlan, StagedBuild, BuildFacts]:
        """Begin an update of the build that is read, or a build of all entities."""
        base = self._current()
        only = None if base is None else self._affected(base, wanted)
        facts = self._facts(wanted)
        if only is None:
            base = None
        else:
            facts = facts.of(only, self.folder)
        plan = BuildPlan(
            build=wanted,
            base=None if base is None else base.build.build,
            ranges=facts.ranges(facts_in_part),
            facts=_digest(facts),
        )
        text = plan.model_dump_json()
        number = self.store.stage_planned(self.view.name, self.max_age, text, base)
        return plan, StagedBuild(number, text, 0, 0, 0), facts

    def make(self, plan: BuildPlan, staged: StagedBuild, facts: BuildFacts, chunk: int) -> Build:
        """Write the parts that are missing, and publish all."""
        entities, moments = staged.entities, staged.moments
        made = plan.build
        for number, part in enumerate(facts.parts(plan.ranges, staged.parts, self.folder), staged.parts):
            known = with_entity(self.view, union_facts(*split_facts(part.drop(ENTITY)), self.view).collect())
            there = known.select(ENTITY).unique()
            since = there.with_columns(pl.lit(made.begin).cast(pl.Int64).alias(SINCE))
            computed = build_moments(self.view, known, since, made.end, chunk)
            encoded = [encode_moments(self.view, moments) for moments in computed]
            kept = encode_facts(part.join(there, on=ENTITY, how="semi", maintain_order="left"))
            gone = ((entity, b"") for entity in facts.without(there, plan.ranges, number))
            rows = (row for of_chunk in encoded for row in of_chunk.iter_rows())
            self.store.add(self.view.name, staged.number, [*kept, *gone], rows, made.pushed_seq, number)
            entities += there.height
            moments += sum(of_chunk.height for of_chunk in encoded)
        base = self._current()
        newest = self._facts(made).newest(None if base is None else base.build.max_known_at)
        counted = {"entities": entities, "moments": moments, "max_known_at": newest}
        return self._publish(staged.number, made.model_copy(update=counted), encode_schema(facts.empty))

    def _publish(self, number: int, made: Build, schema: bytes) -> Build:
        types = self.table.select(self.view.table_columns).collect_schema()
        unseen = encode_unseen(self.view, unseen_values(self.view, types))
        return self.store.publish(number, made, unseen, schema, PushedView(self.view).reapply) or made

    def _current(self) -> CurrentBuild | None:
        """Return the build that may be updated; None for none."""
        if self.changed_since is None or not self.store.updates(self.view.name, self.max_age):
            return None
        with self.store.reading() as reading:
            return reading.built(self.view.name)

    def _same_table(self, version: int, files: str | None) -> bool:
        """Return whether a version that was built from is one of the table still: it may have been made anew."""
        return files is None if self.files_of is None else files is not None and self.files_of(version) == files

    @property
    def _numbered(self) -> bool:
        return self.pushed is None or SEQ in self.pushed.collect_schema()

    def _facts(self, made: Build) -> BuildFacts:
        """Return the facts of all entities for a build, whose pushed ones may end before those that are there now."""
        pushed = self.pushed
        if pushed is not None and SEQ in pushed.collect_schema():
            pushed = pushed.filter(pl.col(SEQ) <= made.pushed_seq)
        return BuildFacts(self.view, self.table, pushed, made.as_of)

    def _affected(self, base: CurrentBuild, made: Build) -> pl.DataFrame | None:
        """Return the keys of the entities that an update of a build computes; None where all are computed."""
        before = base.build
        if (
            self.changed_since is None
            or before.table_version is None
            or not self.view.entity
            or not self._numbered
            or not before.is_of(made.build.rpartition("@")[2])
            or before.as_of > made.as_of
            or before.pushed_seq > made.pushed_seq
            or decode_schema(base.schema) != decode_schema(encode_schema(self._facts(made).empty))
        ):
            return None
        if not self._same_table(before.table_version, before.table_files):
            return None
        changed = self.changed_since(before.table_version)
        if changed is None:
            return None
        pushed = self._facts(made).pushed
        only = affected_entities(self.view, before, made, self.table, pushed, changed)
        at_once = only.height if self.store.updated_at_once is None else self.store.updated_at_once
        return only if only.height <= min(UPDATED_SHARE * before.entities, at_once) else None


def _digest(facts: BuildFacts) -> str:
    return hashlib.sha256(encode_schema(facts.empty)).hexdigest()
