"""The text of a Feast repository: settings, definitions, and how to use them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from ml_assets.features.aggregates import ALL_ROWS
from ml_assets.features.describe import describe_planned
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.handover.feast.moments import EVENT_TIME, EVERYTHING, key_columns

_TYPES = {pl.Int64: "Int64", pl.Float64: "Float64", pl.Boolean: "Bool", pl.String: "String"}


@dataclass(frozen=True)
class WrittenView:
    """A view whose values lie in ``data/<name>.parquet``, with the schema of that file.

    ``max_row_age``: how old a row can be and still hold, None for always. From ``until`` on all values are null.
    """

    spec: FeatureViewSpec
    schema: pl.Schema
    rows: int
    max_row_age: timedelta | None
    until: datetime


def render_settings(name: str) -> str:
    """Render feature_store.yaml, with everything in local files."""
    return f"""project: {name}
provider: local
registry: data/registry.db
online_store:
  type: sqlite
  path: data/online_store.db
# Its file store drops rows that are alike in time and in the keys of one view, however they differ otherwise.
offline_store:
  type: duckdb
entity_key_serialization_version: 3
"""


def render_definitions(name: str, views: Sequence[WrittenView]) -> str:
    """Render features.py: entities, file sources and feature views."""
    used = sorted({_TYPES[type(dtype)] for view in views for c, dtype in view.schema.items() if c != EVENT_TIME})
    kinds = {key: view.schema[key] for view in views for key in key_columns(view.spec)}
    entities = [
        f"{_variable(key, 'entity')} = Entity(name={key!r}, join_keys=[{key!r}], value_type=ValueType.{kind})"
        for key, kind in ((key, "STRING" if dtype == pl.String else "INT64") for key, dtype in sorted(kinds.items()))
    ]
    head = f'''"""Feature views of {name} and where their values lie.

A row of a source holds until the entity's next row. Values are said again before they are older than `ttl`, so that no
row that holds is ever older, and a join need not look further back.
"""

from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import {", ".join(used)}

DATA = Path(__file__).resolve().parent / "data"
'''
    return "\n".join([head, *entities, *map(_definition, views)])


def _definition(view: WrittenView) -> str:
    spec = view.spec
    about = _described(spec)
    fields = [f"Field(name={key!r}, dtype={_TYPES[type(view.schema[key])]})" for key in key_columns(spec)]
    fields += [
        f"Field(name={feature!r}, dtype={_TYPES[type(view.schema[feature])]}, description={about[feature]!r})"
        for feature in stored_features(spec)
    ]
    age = view.max_row_age
    lines = [
        "",
        f"{_variable(spec.name, 'view')} = FeatureView(",
        f"    name={spec.name!r},",
        f"    description={spec.description!r},",
        f"    entities=[{', '.join(_variable(key, 'entity') for key in key_columns(spec))}],",
        f"    ttl={_written(age or timedelta(0))},"
        + ("  # the table is static: its rows always hold" if age is None else ""),
        "    schema=[",
        *(f"        {field}," for field in fields),
        "    ],",
        "    source=FileSource(",
        f"        name={spec.name!r},",
        f"        path=str(DATA / {f'{spec.name}.parquet'!r}),",
        f"        timestamp_field={EVENT_TIME!r},",
        "    ),",
        f"    owner={', '.join(spec.owners)!r},",
        ")",
    ]
    return "\n".join([*lines, ""])


def _written(age: timedelta) -> str:
    return f"timedelta(days={age.days})" if age.days else f"timedelta(seconds={age.seconds})"


def _described(view: FeatureViewSpec) -> dict[str, str]:
    """Describe each stored feature in the declaration's own words."""
    summarised = {
        name: f"{function} of {'the rows' if view.aggregates[base].of == ALL_ROWS else view.aggregates[base].of}"
        f" over {window}{f', {offset} before' if (offset := view.aggregates[base].offset) else ''}"
        for name, (base, function, window) in view.aggregate_features.items()
    }
    lagged = {
        name: f"{spec.of} of the last row {spec.offset} before" + (f", at most {spec.ttl} old then" if spec.ttl else "")
        for name, spec in view.lags.items()
    }
    aged = f", at most {view.ttl} old" if view.ttl else ""
    return {
        **{name: f"{text} of the last row{aged}" for name, text in view.latest.items()},
        **lagged,
        **summarised,
        **describe_planned(view.planned),
        **dict(view.lookups),
    }


def _variable(name: str, suffix: str) -> str:
    """Return a Python name for a column: characters that Python cannot take are spelled by their code point."""
    plain = re.sub(r"\W", lambda match: f"_{ord(match.group()):x}_", name, flags=re.ASCII)
    return f"{'_' if plain[0].isdigit() else ''}{plain}_{suffix}"


def render_readme(
    name: str, views: Sequence[WrittenView], left_out: Mapping[str, str], *, since: datetime, as_of: datetime
) -> str:
    """Render the README in Markdown: the commands, the period, and what is left out."""
    until = min((view.until for view in views if view.max_row_age is not None), default=as_of + timedelta(days=1))
    listed = [
        f"| {v.spec.name} | {', '.join(key_columns(v.spec))} | {len(stored_features(v.spec))} | {v.rows:,} |"
        for v in views
    ]
    without = [f"- `{view}`: {reason}." for view, reason in left_out.items()]
    of_row = {v.spec.name: [n for n in v.spec.feature_names if n not in stored_features(v.spec)] for v in views}
    computed = [f"- features of the row of `{name}`: {', '.join(names)}." for name, names in of_row.items() if names]
    missing, keyless = [*without, *computed], [view for view in views if not view.spec.entity]
    return "\n".join(
        [
            f"# {name} in Feast",
            "",
            "    pip install 'feast[duckdb]>=0.67,<0.68'",
            "    export FEAST_USAGE=False",
            "    feast apply",
            f"    feast materialize {_plain(since)} {_plain(as_of)}",
            "",
            f"Values can be asked for from {since.isoformat()} on. They rest on facts known by {as_of.isoformat()},",
            f"hold as long as no new fact arrives, and become null from {until.isoformat()} on. `feast materialize`",
            "puts those of its end time into the online store. After moving this folder run `feast apply` again.",
            "",
            "| view | keys | features | rows |",
            "|---|---|---:|---:|",
            *listed,
            "",
            "An entity that no row is about has nulls, counts among them; online, Feast takes no null as a key.",
            *([f"A view without keys has `{EVERYTHING}`, which is always 1."] if keyless else []),
            *(["", "Not here:", "", *missing] if missing else []),
            "",
        ]
    )


def _plain(moment: datetime) -> str:
    """Return a moment as `feast materialize` reads it: UTC, without a zone."""
    return moment.replace(tzinfo=None).isoformat()
