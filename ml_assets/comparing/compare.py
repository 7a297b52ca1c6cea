"""Two places of rows compared: the contract that the first suggests, and the drift of the second."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from ml_assets.comparing.comparison import RuleBreach, TableComparison, TableSummary
from ml_assets.comparing.contract.identity import LEAST, identifies_rows, is_free_text
from ml_assets.comparing.contract.infer import infer_rules
from ml_assets.comparing.contract.rules import ColumnRule
from ml_assets.comparing.contract.tally import Tallies, Tally, repeated
from ml_assets.comparing.drift import chance
from ml_assets.comparing.drift.column import LeftOut
from ml_assets.comparing.drift.limits import DriftLimits
from ml_assets.comparing.drift.measure import MeasuredColumn, judge, measure_columns
from ml_assets.comparing.errors import WrongRequest
from ml_assets.comparing.rows.facts import ColumnFacts
from ml_assets.comparing.rows.kinds import TEXT
from ml_assets.comparing.rows.place import Place
from ml_assets.comparing.rows.table import Choice, Table, learn_table, read_like
from ml_assets.comparing.rows.values import shortened
from ml_assets.monitoring.drift.error_rates.corrections import holm

_BEYOND = 0.001
"""Share of rows beyond a range from which on it counts as left."""
_LISTED = 20
_FEW = 100


@dataclass(frozen=True)
class Compared:
    """A comparison, and what was read of either side."""

    result: TableComparison
    reference: Table
    current: Table


def compare(
    reference: Place,
    current: Place,
    choice: Choice | None = None,
    limits: DriftLimits | None = None,
    tolerance: float = 0.0,
) -> Compared:
    """Compare the rows of two places.

    Args:
        choice: which columns, and how many rows are kept.
        limits: from which values on a column counts as moved.
        tolerance: share of the current rows (0 to 1) that may break a rule.

    Raises:
        WrongRequest: a column is named that neither side has, or the sides have no column in common.
        UnusableRows: a side cannot be read, or has fewer than two rows.
    """
    choice, limits = choice or Choice(), limits or DriftLimits()
    if not 0 <= tolerance < 1:
        raise WrongRequest(f"--tolerance {tolerance:g}: give a share from 0 to below 1, such as 0.001")
    before, inferred = learn_table(reference, choice)
    keys = [name for name, facts in before.facts.items() if identifies_rows(before.kept_of(name), facts.kind)]
    rules = [rule for facts in before.facts.values() for rule in infer_rules(facts, keys)]
    tallies = Tallies(rules)
    now, own = read_like(current, inferred.kinds, choice, tallies.begin)
    _check_columns(before, now, choice)
    missing = {name: facts.kind.name for name, facts in before.facts.items() if name not in now.stored}
    left_out = [
        LeftOut(name, facts.kind.name, reason)
        for name, facts in before.facts.items()
        if name not in missing and (reason := _why_not(facts, now.facts[name], before.kept_of(name), keys))
    ]
    compared = [name for name in before.facts if name not in {*missing, *(column.name for column in left_out)}]
    measured = measure_columns(before, now, compared)
    broken = [tally for tally in tallies.broken if tally.rule.column not in missing]
    joint = _joint_chances(measured, broken, [rule for rule in rules if rule.column not in missing], before, now)
    breaches = [_breach(tally, now.rows, joint.get(_of(tally)), tolerance, limits) for tally in broken]
    breaches += [breach for name in keys if name not in missing for breach in _repetitions(before, now, name)]
    drift = [
        judge(name, before.facts[name].kind.name, column, joint[name], limits) for name, column in measured.items()
    ]
    infinite = [name for name in compared if name not in measured]
    left_out += [LeftOut(name, before.facts[name].kind.name, "one side has no finite number") for name in infinite]
    comparison = TableComparison(
        reference=_summary(before),
        current=_summary(now),
        limits=limits,
        missing_columns=missing,
        new_columns={name: kind.name for name, kind in own.kinds.items() if name not in before.stored},
        other_types=tuple(_other_types(before, now)),
        rules=len(rules) + len(keys),
        breaches=tuple(sorted(breaches, key=lambda breach: (not breach.broken, -breach.share, breach.column))),
        drift=tuple(sorted(drift, key=lambda column: (not column.drifted, -column.strength, column.name))),
        left_out=tuple(left_out),
        notes=tuple(_notes(before, now, limits, len(joint))),
    )
    return Compared(comparison, before, now)


def _check_columns(before: Table, now: Table, choice: Choice) -> None:
    known = {*before.stored, *now.stored}
    for option, names in (("columns", choice.columns), ("exclude", choice.exclude)):
        if unknown := [name for name in names if name not in known]:
            raise WrongRequest(
                f"--{option} {unknown[0]}: neither side has such a column; give one a time, of {_listed(known)}"
            )
    if not choice.of(before.stored):
        raise WrongRequest("--exclude, --columns: no column is left to compare")
    if not set(choice.of(before.stored)) & set(now.stored):
        raise WrongRequest(
            f"the sides have no column in common: the reference has {_listed(choice.of(before.stored))}; the current "
            f"rows have {_listed(now.stored)}"
        )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _why_not(before: ColumnFacts, now: ColumnFacts, kept: pl.Series, keys: Collection[str]) -> str:
    """Return why a column is not compared by its distribution; empty where it is."""
    if before.kind.why_not:
        return f"{before.kind.why_not}{_span(before, now)}"
    if before.known == 0:
        return "the reference has no value in it"
    if before.name in keys:
        return "it identifies rows: each has a value of its own"
    if before.only_value is not None:
        return f"the reference has one value only, {shortened(before.only_value)}"
    if now.known == 0:
        return "no current value is of its kind" if now.misfits else "the current rows have no value in it"
    if before.kind is TEXT and is_free_text(kept):
        return "most rows have a text of their own"
    return ""


def _span(before: ColumnFacts, now: ColumnFacts) -> str:
    if before.smallest is None or now.smallest is None:
        return ""
    spans = [f"{facts.smallest:%Y-%m-%d} to {facts.largest:%Y-%m-%d}" for facts in (before, now)]
    return f": {spans[0]} in the reference, {spans[1]} now"


def _of(tally: Tally) -> tuple[str, str]:
    return tally.rule.column, tally.rule.name


def _joint_chances(
    measured: Mapping[str, MeasuredColumn],
    broken: Sequence[Tally],
    rules: Sequence[ColumnRule],
    before: Table,
    now: Table,
) -> dict[Any, float]:
    """Return the chance of each column and of each range that is left, taken together with all tests of the report."""
    tests: dict[Any, float] = {(rule.column, rule.name): 1.0 for rule in rules if rule.by_chance}
    for tally in broken:
        if tally.rule.by_chance:
            known = (before.facts[tally.rule.column].known, now.facts[tally.rule.column].known)
            tests[_of(tally)] = chance.of_strangers(tally.count, *known)
    for name, column in measured.items():
        # Several tests of one column: the least of them, as if each had been as small.
        tests[name] = min(1.0, min(column.chances) * len(column.chances))
    return dict(zip(tests, holm(np.array(list(tests.values()))).tolist(), strict=True))


def _breach(tally: Tally, rows: int, joint: float | None, tolerance: float, limits: DriftLimits) -> RuleBreach:
    share = tally.count / rows
    # Of many rows some lie beyond whatever the reference has had.
    tolerated = tolerance if joint is None else max(tolerance, _BEYOND)
    broken = share > tolerated and (joint is None or joint <= limits.false_alarms)
    rule = tally.rule
    return RuleBreach(rule.column, rule.name, rule.words, tally.count, share, tally.shown, joint, broken)


def _repetitions(before: Table, now: Table, name: str) -> list[RuleBreach]:
    """Return the breach of a key that comes up again; nothing where not all rows were kept to know that."""
    if not (before.complete and now.complete):
        return []
    rows, shown = repeated(now.kept[name])
    words = "no two rows have the same value"
    return [RuleBreach(name, "unique", words, rows, rows / now.rows, shown, None, True)] if rows else []


def _other_types(before: Table, now: Table) -> Iterator[str]:
    if before.place.as_texts or now.place.as_texts:
        return
    for name in before.facts:
        if name in now.stored and before.stored[name] != now.stored[name]:
            yield f"{name} is kept as {now.stored[name]}, and in the reference as {before.stored[name]}"


def _summary(table: Table) -> TableSummary:
    place = table.place
    compared = table.kept.height if table.kept.columns else table.rows
    return TableSummary(
        place.given, place.format, len(place.files), table.rows, len(table.stored), compared, table.assumed
    )


def _notes(before: Table, now: Table, limits: DriftLimits, tests: int) -> Iterator[str]:
    yield (
        f"A column has drifted if a method lies above its limit and if such a difference is no chance. Of reports "
        f"without any change at most {limits.false_alarms:.0%} say that a column has drifted or a range is left: "
        f"{tests} tests are taken together (Holm's procedure over Kolmogorov-Smirnov, chi-squared and exact tests). "
        "That supposes rows drawn independently; where neighbouring rows resemble one another there are more."
    )
    if min(before.rows, now.rows) < _FEW:
        yield f"A side has fewer than {_FEW} rows: only large changes can be told from chance."
    if before.rows < LEAST:
        yield f"The reference has fewer than {LEAST} rows: of the contract only kinds of values are inferred."
    for table in (before, now):
        if not table.complete:
            yield (
                f"--{table.place.side}: {table.kept.height:,} of {table.rows:,} rows, chosen at random, are what bins, "
                "medians and drawings are made of. All rows are counted; whether keys come up again is not looked at."
            )
