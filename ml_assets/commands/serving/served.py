"""What a server is told of the project's declarations."""

import math
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.requested import offline_views, read_of_request, requested_columns
from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.durations import parse_duration
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_view
from ml_assets.lake import Lake
from ml_assets.lake.tables import TableMissing
from ml_assets.online.values.unseen import unseen_values
from ml_assets.registry.registry import Registry
from ml_assets.serving.declared import (
    Declarations,
    FieldKind,
    OnlineTable,
    OnlineView,
    RequestField,
    ServedModel,
    request_kind,
)
from ml_assets.serving.spec import ServingSpec
from ml_assets.training.records.inputs import ModelInputs


class _NotServed(ValueError):
    """Why a model cannot be asked about rows of its spine."""


def declarations(
    project: DeclaredProject,
    lake: Lake,
    names: Sequence[str],
    trained: Mapping[str, ModelInputs | None] | None = None,
) -> Declarations:
    """Describe what requests hold and where features come from, for each model, and the views that take facts.

    A model that is not declared, or whose views are not all online, takes features only; ``unready`` has the reason.

    Args:
        names: the models that are served.
        trained: what their champions were trained on: a request gives what these read too, where that has changed.
    """
    models, unready = {}, {}
    for name in names:
        try:
            models[name] = _served_model(project, lake, name, (trained or {}).get(name))
        except (_NotServed, TableMissing) as error:
            unready[name] = str(error)
    online = {}
    for view in project.views.values():
        if view.online is not None and view.table is not None and lake.exists(view.table):
            schema = lake.scan(view.table).collect_schema()
            needed = {*view.entity, view.known_at}
            fields = [
                field.model_copy(update={"nullable": field.name not in needed})
                for field in _fields(view.table_columns, schema, {})
            ]
            online[view.name] = OnlineView(view=_spec(view), fields=fields)
    return Declarations(models=models, online=online, tables=_tables(project, lake, online), unready=unready)


def with_fallbacks(project: DeclaredProject, names: Sequence[str]) -> list[str]:
    """Return the models to serve, and behind them those that they fall back to."""
    served = list(dict.fromkeys(names))
    for name in served:  # which grows
        model = project.models.get(name)
        require = model.serving.require if model is not None and model.serving is not None else None
        other = require.fallback.model if require is not None and require.fallback is not None else ""
        if other and other not in served:
            served.append(other)
    return served


def _tables(project: DeclaredProject, lake: Lake, online: Mapping[str, OnlineView]) -> dict[str, OnlineTable]:
    """Describe the tables of views that take facts, each with the contract of its rows."""
    by_table: dict[str, list[DeclaredView]] = {}
    for name in online:
        view = project.views[name]
        by_table.setdefault(view.table or "", []).append(view)
    return {table: _table(project, lake, table, views) for table, views in by_table.items()}


def _table(project: DeclaredProject, lake: Lake, table: str, views: Sequence[DeclaredView]) -> OnlineTable:
    specs = [view.online for view in views if view.online is not None]
    contract, key = _table_contract(project, table, {spec.contract for spec in specs if spec.contract})
    declared = _contract_columns(contract) if contract else {}
    read = dict.fromkeys(column for view in views for column in view.table_columns)
    schema = lake.scan(table).collect_schema()
    columns = [name for name in dict.fromkeys([*declared, *read]) if name in schema and request_kind(schema[name])]
    return OnlineTable(
        table=table,
        views=[_spec(view) for view in views],
        fields=_fields(columns, schema, declared),
        contract=contract,
        key=key,
        ahead_seconds=min(parse_duration(spec.ahead).total_seconds() for spec in specs),
    )


def _table_contract(project: DeclaredProject, table: str, declared: set[str]) -> tuple[str, list[str]]:
    """Return the contract of a table's rows and their key; empty where there is none.

    Raises:
        ValueError: views of the table name several.
    """
    for source in project.sources.values():
        if table == source.table("validated"):
            return source.contract, list(source.key_columns)
    if len(declared) > 1:
        raise ValueError(
            f"table {table}: its views name several contracts under online.contract, {', '.join(sorted(declared))}: "
            "name one"
        )
    return next(iter(declared), ""), []


def champion_inputs(registry: Registry, names: Sequence[str]) -> dict[str, ModelInputs | None]:
    """Return the inputs that the champion of each model was trained on, by model; models without a champion are left
    out."""
    champions = {name: registry.champion(name) for name in names}
    return {
        name: registry.inputs(name, champion.version) for name, champion in champions.items() if champion is not None
    }


def _served_model(project: DeclaredProject, lake: Lake, name: str, trained: ModelInputs | None) -> ServedModel:
    model = project.models.get(name)
    if model is None:
        raise _NotServed("it is not declared in this project")
    spine, views = project.spine_of(model), project.views_of(model)
    if offline := offline_views(views):
        raise _NotServed(f"its views {', '.join(offline)} are not online: declare `online:` for them")
    schema = lake.scan(spine.table).collect_schema()
    own = [] if trained is None else [column for view in trained.views for column in read_of_request(view)]
    further = [column for column in own if column in schema and column != spine.time]
    columns = dict.fromkeys([*requested_columns(spine, views), *further])
    contract = _contract(project, spine)
    return ServedModel(
        name=name,
        key=[column for column in spine.key if column != spine.time],
        time=spine.time,
        fields=_fields(list(columns), schema, contract),
        views=[_spec(view) for view in views],
        stored_types=_stored_types(lake, [*views, *(trained.views if trained else ())]),
        freshness={view.name: view.online.freshness for view in views if view.online is not None},
        serving=model.serving or ServingSpec(),
    )


def _stored_types(lake: Lake, views: Sequence[FeatureViewSpec]) -> dict[str, str]:
    """Return the types that the store gives features in which views with derived features may read."""
    types: dict[str, str] = {}
    for view in views:
        if not view.derived or view.table is None or (view.planned is not None and view.planned.moments):
            continue
        values = unseen_values(stored_view(view), lake.scan(view.table).collect_schema())
        types |= {name: str(_kept_as(dtype)) for name, dtype in values.schema.items()}
    return types


def _kept_as(dtype: pl.DataType) -> pl.DataType:
    if dtype.is_decimal() or dtype == pl.Null:
        return pl.Float64()
    return pl.String() if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _spec(view: DeclaredView) -> FeatureViewSpec:
    return FeatureViewSpec(**{name: getattr(view, name) for name in FeatureViewSpec.model_fields})


def _contract(project: DeclaredProject, spine: DeclaredSpine) -> dict:
    """Return the columns of the contract that the spine's table keeps, by name; empty where there is none."""
    reference = spine.contract
    for source in project.sources.values():
        if spine.table == source.table("validated"):
            reference = source.contract
    return _contract_columns(reference) if reference else {}


def _contract_columns(reference: str) -> dict:
    from ml_assets.quality.contracts import load_contract

    return dict(load_contract(reference).to_schema().columns)


def _fields(columns: Sequence[str], schema: pl.Schema, contract: dict) -> list[RequestField]:
    return [
        RequestField(name=name, kind=_kind(name, dtype), dtype=str(dtype), **_limits(dtype, contract.get(name)))
        for name, dtype in ((name, schema[name]) for name in columns)
    ]


def _kind(name: str, dtype: pl.DataType) -> FieldKind:
    kind = request_kind(dtype)
    if kind is None:
        raise _NotServed(
            f"column {name} is {dtype}, which a request cannot hold: make it a number, text, date or moment"
        )
    return kind


def _limits(dtype: pl.DataType, column) -> dict:
    """Return the limits that a contract sets on a column, as far as they concern a value alone."""
    if column is None:
        return {}
    limits = {"nullable": column.nullable or not column.required, "description": column.description or ""}
    for check in column.checks:
        limits |= dict(_limit(dtype, check.name, check.statistics or {}))
    return limits


def _limit(dtype: pl.DataType, rule: str, statistics: dict) -> Iterator[tuple[str, object]]:
    if rule in ("greater_than_or_equal_to", "greater_than", "in_range") and dtype.is_numeric():
        closed = rule == "greater_than_or_equal_to" or statistics.get("include_min", False)
        yield "minimum", statistics["min_value"] if closed else _beside(dtype, statistics["min_value"], 1)
    if rule in ("less_than_or_equal_to", "less_than", "in_range") and dtype.is_numeric():
        closed = rule == "less_than_or_equal_to" or statistics.get("include_max", False)
        yield "maximum", statistics["max_value"] if closed else _beside(dtype, statistics["max_value"], -1)
    if rule == "isin" and dtype == pl.String:
        yield "choices", list(statistics["allowed_values"])
    if rule == "str_matches":
        yield "pattern", statistics["pattern"]


def _beside(dtype: pl.DataType, bound: float, towards: int) -> float:
    """Return the next value of the column's type that lies inside an open bound."""
    return bound + towards if dtype.is_integer() else math.nextafter(bound, towards * math.inf)
