"""The gate: deliveries judged by the contract and by one another, and published where they pass."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from ml_assets.declarations.specs import CAME_EMPTY, DeclaredSource
from ml_assets.deliveries.checks import Measurements, failed_checks, measure_drop_checks
from ml_assets.deliveries.withheld import read_withheld
from ml_assets.lake import Lake, TableVersion
from ml_assets.quality.drop_gate import DropGate, same_content
from ml_assets.quality.publication import (
    HISTORY,
    IN_ORDER,
    Publication,
    Withheld,
    history,
    in_order,
    not_in_use,
    publish,
    waiting,
)
from ml_assets.sources.drops.grains import names_between
from ml_assets.sources.spec import CONTENT_HASH, DROP

if TYPE_CHECKING:
    from ml_assets.quality.contracts import Contract


@dataclass(frozen=True)
class JudgedDeliveries:
    """Deliveries of some drops, judged.

    Attributes:
        drops: the requested ones.
        gates: every drop that was judged, those that waited for one of these among them, in order.
        measured: drop -> its checks.
        in_use: drops that had rows in use before.
    """

    drops: Sequence[str]
    gates: Mapping[str, DropGate]
    measured: Mapping[str, Measurements]
    outcome: Publication
    in_use: Sequence[str]

    @property
    def released(self) -> list[str]:
        """Drops that waited and come into use now."""
        return [drop for drop in self.outcome.published if drop not in self.drops]

    @property
    def quarantine(self) -> pl.DataFrame:
        """The rows of all judged drops that break the contract."""
        return pl.concat([gate.result.quarantine for gate in self.gates.values()])


def judge_deliveries(
    source: DeclaredSource, lake: Lake, contract: "Contract", drops: Sequence[str]
) -> JudgedDeliveries:
    """Judge the raw rows of some drops, and those of drops that wait for one of them and may come into use now."""
    withheld, in_use = read_withheld(source, lake), lake.partitions(source.table("validated"), DROP)
    judged = sorted({*drops, *waiting(withheld)})
    table = lake.scan(source.table("raw"))
    raw = {drop: table.filter(pl.col(DROP) == drop).collect() for drop in judged}
    gates, measured = _judge(source, lake, contract, raw, withheld)
    failed = {drop: [check.name for check in failed_checks(checks.values())] for drop, checks in measured.items()}
    outcome = publish(failed, withheld, in_use, source.after_failure)
    return JudgedDeliveries(drops, gates, measured, outcome, in_use)


def write_validated(source: DeclaredSource, lake: Lake, judged: JudgedDeliveries) -> TableVersion:
    """Replace the rows of drops that come into use; the rows in use of one that is withheld stay."""
    gates, outcome = judged.gates, judged.outcome
    key, first = source.table("validated"), next(iter(gates.values())).result.validated
    good = [gates[drop].result.validated for drop in outcome.published]
    written = [*outcome.published, *(drop for drop in gates if not lake.exists(key) and drop in outcome.withheld)]
    if not written:
        return TableVersion(key, lake.version(key), 0)
    version = lake.replace(key, pl.concat(good) if good else first.clear(), {DROP: written})
    _keep_empty(source, lake, {drop: gates[drop] for drop in outcome.published})
    return version


def _keep_empty(source: DeclaredSource, lake: Lake, published: Mapping[str, "DropGate"]) -> None:
    """Store which drops that come into use came without rows; a source of which none ever did has no such table."""
    results = {drop: gate.result for drop, gate in published.items()}
    empty = [drop for drop, result in results.items() if result.validated.is_empty() and result.quarantine.is_empty()]
    key = source.table(CAME_EMPTY)
    if published and (empty or lake.exists(key)):
        # A table of nothing but what it is partitioned by cannot be written.
        kept = pl.DataFrame({DROP: empty, "rows": [0] * len(empty)}, schema={DROP: pl.String, "rows": pl.Int64})
        lake.replace(key, kept, {DROP: list(published)})


def completed_by(judged: JudgedDeliveries) -> set[str]:
    """Return the drops in use that are completed by an earlier drop which comes into use only now."""
    new = set(judged.outcome.published) - set(judged.in_use)
    return {drop for drop in judged.in_use if new and drop > min(new)}


def with_history(
    source: DeclaredSource,
    shown: Mapping[str, Measurements],
    later: Collection[str],
    delivered: Collection[str],
    outcome: Publication,
) -> dict[str, Measurements]:
    """Return the checks of each drop with those about the drops before it; of later drops these alone.

    Args:
        delivered: every drop that was ever delivered.
    """
    periods = names_between(source.drops.grain, min(delivered), max(delivered))
    complete: dict[str, Measurements] = {}
    for drop in sorted({*shown, *later}):
        own = {HISTORY: history(*not_in_use(drop, periods, delivered, outcome.withheld))}
        if drop in shown:
            own |= {**shown[drop], IN_ORDER: in_order(outcome.withheld.get(drop))}
        complete[drop] = own
    return complete


def _judge(
    source: DeclaredSource,
    lake: Lake,
    contract: "Contract",
    raw: Mapping[str, pl.DataFrame],
    withheld: Mapping[str, Withheld],
) -> tuple[dict[str, DropGate], dict[str, Measurements]]:
    """Return the gate and the checks of each drop, in order.

    Of two drops of a run that share a key the first keeps it, unless it fails: then what is in use of it counts. The
    rows of a delivery that fails, or has failed before, are nothing to hold another against.
    """
    from ml_assets.quality.drop_gate import gate_drop

    gates: dict[str, DropGate] = {}
    measured: dict[str, Measurements] = {}
    here: list[pl.LazyFrame] = []
    replaced = set(raw)
    delivered: dict[str, int] = dict(lake.scan(source.table("raw")).group_by(DROP).len().collect().iter_rows())
    failed_before = {drop for drop, delivery in withheld.items() if delivery.failed and drop not in raw}
    delivered = {drop: rows for drop, rows in delivered.items() if drop not in failed_before}
    for name, frame in raw.items():
        gates[name] = gate_drop(source, contract, name, frame, [*_keys_in_lake(source, lake, frame, replaced), *here])
        measured[name] = measure_drop_checks(source, delivered, name, frame, gates[name])
        if failed_checks(measured[name].values()):
            replaced.discard(name)
            del delivered[name]
        else:
            here.append(gates[name].result.validated.lazy())
    return gates, measured


def _keys_in_lake(
    source: DeclaredSource, lake: Lake, frame: pl.DataFrame, replaced: Collection[str]
) -> list[pl.LazyFrame]:
    """Return keys and drops of the validated rows in the lake, in the frame's types, without the drops to be
    replaced."""
    if not lake.exists(source.table("validated")):
        return []
    stored = lake.scan(source.table("validated"))
    held, schema = stored.collect_schema(), frame.schema
    if not set(source.key_columns) <= set(held):  # another key was declared when they were written
        return []
    # A cast would keep the reader from skipping files, so only where the declared type has changed since.
    keys = [pl.col(n) if held[n] == schema[n] else pl.col(n).cast(schema[n]) for n in source.key_columns]
    return [stored.filter(~pl.col(DROP).is_in(sorted(replaced))).select(*keys, DROP)]


def broken_drops(
    source: DeclaredSource,
    lake: Lake,
    judged: JudgedDeliveries,
    measured: Mapping[str, Measurements],
) -> list[str]:
    """Return a line about each drop that a blocking check holds back; if none is broken, about those that wait."""
    from ml_assets.quality.message import broken_drop

    failed = {drop: failed_checks(checks.values()) for drop, checks in measured.items()}
    broken = {drop: those for drop, those in failed.items() if those and not judged.outcome.withheld[drop].waits_for}
    failed = broken or failed
    hashes = _hashes(source, lake) if any(failed.values()) else {}
    return [
        broken_drop(
            source.name,
            drop,
            those,
            judged.gates[drop].result,
            lake.uri(source.table("quarantine")),
            same_content(drop, hashes.get(drop, ""), hashes),
            judged.outcome.withheld[drop].waits_for,
        )
        for drop, those in failed.items()
        if those
    ]


def _hashes(source: DeclaredSource, lake: Lake) -> dict[str, str]:
    """Return the content hash of the raw rows of each drop."""
    return dict(lake.scan(source.table("raw")).select(DROP, CONTENT_HASH).unique().collect().iter_rows())
