"""Finds new and corrected drops, and asks for exactly those."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from ml_assets.automation.run_tags import RANGE_END, RANGE_START
from ml_assets.components.partitions import WHOLE
from ml_assets.components.sources.source import Source
from ml_assets.dagster_internals import NOT_FINISHED_STATUSES
from ml_assets.lake import Lake
from ml_assets.resources import LakeResource
from ml_assets.sources.drops.grains import has_ended, stretches
from ml_assets.sources.spec import CONTENT_HASH, DROP
from ml_assets.sources.watch import UNREAD

SOURCES = "ml_assets/sources"
"""Tag of a run that ingests: the sources it ingests, for the next look to leave them alone."""

Tokens = dict[str, dict[str, str]]


def drop_sensor(
    use_case: str, sources: Sequence[Source], every_seconds: int, watched: bool = True
) -> dg.SensorDefinition:
    """Look at every source of a use case; new and corrected drops are materialized as ``<source>/raw``.

    Args:
        watched: whether it looks from the start; otherwise when somebody starts it.
    """
    raw = dg.AssetSelection.assets(*([source.name, "raw"] for source in sources))

    @dg.sensor(
        name=f"{use_case}_drops",
        target=raw,
        minimum_interval_seconds=every_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING if watched else dg.DefaultSensorStatus.STOPPED,
        description=f"Watches the sources of {use_case}; asks for the drops that are missing or have changed.",
    )
    def look(context: dg.SensorEvaluationContext, lake: LakeResource) -> dg.SensorResult:
        before: Tokens = json.loads(context.cursor) if context.cursor else {}
        busy = _sources_being_ingested(context.instance)
        tables, tokens, due = lake.open(), dict(before), {}
        for source in sources:
            # A source whose run has not ended keeps its old tokens, so that a change during the run is noticed.
            if source.name not in busy:
                tokens[source.name], due[source.name] = _look_or_blame(source, tables, before.get(source.name, {}))
        grains = {source.name: source.drops.grain for source in sources}
        return dg.SensorResult(run_requests=list(requests(due, grains)), cursor=json.dumps(tokens))

    return look


def _look_or_blame(source: Source, lake: Lake, before: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Look at a source as `_look` does; where that fails, one drop is due, whose run says why, once.

    No source keeps the others from being looked at, and the next look begins where the last good one ended.
    """
    from ml_assets.quality.errors import ContractError
    from ml_assets.sources.errors import SourceError

    now, drops = time.time(), source.drops
    try:
        return _look(source, lake, before, now)
    except (SourceError, ContractError) as error:
        known = [name for name in before if drops.expects(name)] or [drops.start or WHOLE]
        over = [name for name in known if has_ended(drops.grain, name, drops.time_zone, now)]
        kind = getattr(error, "kind", str(error))
        return dict(before), {name: f"{UNREAD}{kind} after {sorted(before.items())}" for name in over[-1:]}


def _look(source: Source, lake: Lake, before: Mapping[str, str], now: float) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tokens of the drops that are there now, and an identity for each drop that is due."""
    from ml_assets.quality.contracts import contract_schema, load_contract
    from ml_assets.sources.watch import due_drops, run_token, watch

    schema = contract_schema(load_contract(source.contract))
    tokens = watch(source, schema, before, now)
    due = due_drops(source, schema, tokens, before, _ingested(lake, source), now)
    return tokens, {drop: f"{run_token(tokens[drop])}:{identity}" for drop, identity in due.items()}


def _ingested(lake: Lake, source: Source) -> dict[str, str]:
    if not lake.exists(source.table("raw")):
        return {}
    return dict(lake.scan(source.table("raw")).select(DROP, CONTENT_HASH).unique().collect().iter_rows())


def requests(due: Mapping[str, Mapping[str, str]], grains: Mapping[str, str]) -> Iterator[dg.RunRequest]:
    """Yield a run request per stretch of drops, without a gap, that the same sources have due.

    Drops that cannot be read are runs of their own, which fail and say why, without holding up what can be.

    Args:
        due: source -> drop -> identity of its content.
        grains: source -> grain of its drops.
    """
    holders: dict[tuple[str, str, str], list[str]] = {}
    for name in sorted(due):
        for drop, identity in due[name].items():
            holders.setdefault((grains[name], drop, name if UNREAD in identity else ""), []).append(name)
    alike: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    for (grain, drop, unread), names in sorted(holders.items()):
        alike.setdefault((grain, tuple(names), unread), []).append(drop)
    for (grain, names, _), drops in alike.items():
        for stretch in stretches(grain, drops):
            yield _request(names, stretch, {name: {drop: due[name][drop] for drop in stretch} for name in names})


def _request(names: Sequence[str], drops: list[str], identities: Mapping[str, Mapping[str, str]]) -> dg.RunRequest:
    digest = hashlib.sha256(json.dumps(identities, sort_keys=True).encode()).hexdigest()[:24]
    tags = {SOURCES: ",".join(names)}
    if len(drops) > 1:
        tags |= {RANGE_START: drops[0], RANGE_END: drops[-1]}
    return dg.RunRequest(
        run_key=digest,
        partition_key=drops[0] if len(drops) == 1 and drops != [WHOLE] else None,
        asset_selection=[dg.AssetKey([name, "raw"]) for name in names],
        tags=tags,
    )


def _sources_being_ingested(instance: dg.DagsterInstance) -> set[str]:
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))
    return {name for run in runs for name in run.tags.get(SOURCES, "").split(",") if name}
