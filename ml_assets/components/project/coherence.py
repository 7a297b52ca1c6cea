"""What declarations say of one another: every table and column that one names is there, and no feature is the label.

Looked at only when a declaration or a contract has changed: contracts need Pandera, which takes as long to import as
all declarations take to load.
"""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path

import dagster as dg
import polars as pl

from ml_assets import __version__
from ml_assets.components.features.feature_view import FeatureView
from ml_assets.components.features.spine import Spine
from ml_assets.components.model.ml_model import MLModel
from ml_assets.components.project.tree import Placed, ProjectTree, by_use_case
from ml_assets.components.sources.source import Source
from ml_assets.declarations.problems import DeclarationError
from ml_assets.declarations.requested import offline_views, requested_columns
from ml_assets.declarations.specs import DeclaredDbtTables
from ml_assets.durations import parse_duration
from ml_assets.features.assemble import refuse_homonyms, refuse_twins
from ml_assets.features.expressions import columns_read
from ml_assets.serving.declared import request_kind
from ml_assets.sources.drops.grains import WHOLE, drop_start
from ml_assets.sources.drops.spec import Drops
from ml_assets.sources.spec import DROP
from ml_assets.sources.values.moments import misfit
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.tasks import find_task, listed

Columns = Mapping[str, pl.DataType | None]
"""Column -> its type, None where nobody declares it."""

COLUMN_SCHEMA = "dagster/column_schema"
VALIDATED = "validated"


def check_coherence(tree: ProjectTree, specs: Sequence[dg.AssetSpec], passed: Path) -> None:
    """Raise DeclarationError with a line for each thing that one declaration says of another and that is not so.

    Args:
        specs: every asset of the project.
        passed: file that keeps the fingerprint of the last declarations that were coherent.
    """
    declared = list(tree.placed())
    fingerprint = _fingerprint(declared, specs)
    if passed.exists() and passed.read_text() == fingerprint:
        return
    project = _Project(declared, specs)
    lines = [
        (placed.use_case, str(placed.error(message))) for placed in declared for message in project.problems(placed)
    ]
    if lines:
        raise DeclarationError("\n".join(dict.fromkeys(text for _, text in lines)), by_use_case(lines))
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.write_text(fingerprint)


def _fingerprint(declared: Sequence[Placed], specs: Sequence[dg.AssetSpec]) -> str:
    digest, contracts = hashlib.sha256(__version__.encode()), set()
    for placed in declared:
        digest.update(type(placed.component).__name__.encode())
        digest.update(placed.component.model_dump_json().encode() if isinstance(placed.component, _PARTS) else b"")
        if isinstance(placed.component, Source | Spine) and placed.component.contract:
            contracts.add(placed.component.contract.partition(":")[0].partition(".")[0])
    for package in sorted(contracts):
        digest.update(_code_of(package))
    for spec in specs:
        digest.update(f"{spec.key.path}{_documented(spec)}".encode())
    return digest.hexdigest()


def _code_of(package: str) -> bytes:
    """Digest of a package that holds contracts: one may be made of other modules' classes and checks."""
    digest, found = hashlib.sha256(), importlib.util.find_spec(package)
    if found is None:
        return b"none"
    folders = list(found.submodule_search_locations or ())
    files = [path for folder in folders for path in Path(folder).rglob("*.py")] if folders else [Path(found.origin)]
    for path in sorted(files):
        digest.update(f"{path}\n".encode())
        digest.update(path.read_bytes())
    return digest.digest()


def _documented(spec: dg.AssetSpec) -> list[str] | None:
    schema = spec.metadata.get(COLUMN_SCHEMA)
    schema = schema.schema if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    return None if schema is None else [column.name for column in schema.columns]


_PARTS = (Source, Spine, FeatureView, MLModel)


class _Project:
    def __init__(self, declared: Sequence[Placed], specs: Sequence[dg.AssetSpec]) -> None:
        self._placed = sorted(declared, key=lambda placed: not isinstance(placed.component, Source))
        self._all = [placed.component for placed in declared if isinstance(placed.component, _PARTS)]
        self._specs = {spec.key.to_user_string(): spec for spec in specs}
        self._contract_columns = lru_cache(maxsize=None)(_contract_columns)

    def problems(self, placed: Placed) -> Iterator[str]:
        """What is wrong with a component, each text beginning with the field."""
        one = placed.component
        rules = {Source: self._of_source, Spine: self._of_spine, FeatureView: self._of_view, MLModel: self._of_model}
        if isinstance(one, _PARTS):
            twins = [other for other in self._all if type(other) is type(one) and other.name == one.name]
            if len(twins) > 1:
                yield f"name: {one.name!r} is declared {len(twins)} times"
            yield from rules[type(one)](one)
        yield from self._drops_apart(placed)

    def _drops_apart(self, placed: Placed) -> Iterator[str]:
        """The jobs of a use case work on drops of one kind: its tables and features are cut alike."""
        told = self._cut_as(placed)
        first = next((one for one in self._placed if one.use_case == placed.use_case and self._cut_as(one)), None)
        if told is None or first is None or first is placed:
            return
        (field, drops), (_, others) = told, self._cut_as(first)
        for name in ("grain", "start", "end"):
            own, other = getattr(drops, name), getattr(others, name)
            if isinstance(placed.component, Spine) and name == "grain" and own != other:
                return  # told of the source that it is over
            if own != other:
                where = f"{type(first.component).__name__} {getattr(first.component, 'name', '')}".strip()
                yield (
                    f"{field}{'' if field == 'spine' else '.' + name}: {'its ' + name if field == 'spine' else ''} is "
                    f"{own or 'open'}, but that of {where} is {other or 'open'}: what one use case declares is cut "
                    "into the same drops"
                )
                return

    def _cut_as(self, placed: Placed) -> tuple[str, Drops] | None:
        """How the assets of a declaration are cut, and the field that says so; None where they are not."""
        one = placed.component
        if isinstance(one, FeatureView | MLModel):
            spine = next(other for other in self._placed if other.component is self._find(Spine, one.spine))
            if spine.use_case == placed.use_case:
                return None  # told of the spine
            field, drops = "spine", spine.component.drops
        elif isinstance(one, Source | Spine | DeclaredDbtTables):
            field, drops = "drops", one.drops
        else:
            return None
        return None if drops.grain == WHOLE else (field, drops)

    def _find(self, kind: type, name: str):
        return next(one for one in self._all if isinstance(one, kind) and one.name == name)

    def _columns(self, table: str) -> Columns | None:
        """The columns of a table, as far as they are declared."""
        name, _, part = table.rpartition("/")
        sources = [one for one in self._all if isinstance(one, Source) and one.name == name]
        if sources and part == VALIDATED:
            try:
                return {**_kept(self._contract_columns(sources[0].contract)), DROP: pl.String()}
            except ValueError:
                return None  # told of the source itself
        names = _documented(self._specs[table]) if table in self._specs else None
        return None if names is None else dict.fromkeys(names)

    def _of_source(self, source: Source) -> Iterator[str]:
        try:
            columns = self._contract_columns(source.contract)
        except ValueError as error:
            yield f"contract: {error}"
            return
        missing = partial(_missing, columns, f"the contract {source.contract}")
        yield from missing("key_columns", source.key_columns)
        yield from missing("required", source.required)
        yield from missing("columns", source.columns)
        for name, declared in source.columns.items():
            wrong = misfit(columns[name], declared) if name in columns else None
            yield from [f"columns.{name}: {wrong}"] if wrong else []
        if source.order is not None:
            for field in ("by", "number", "moment"):
                name = getattr(source.order, field)
                yield from missing(f"order.{field}", [name] if name else [])
        yield from _may_be_missing(source, columns.begins)
        if source.drops.column is not None:
            yield from missing("drops.column", [source.drops.column])
            yield from _unless(columns, "drops.column", source.drops.column, (pl.Date, pl.Datetime), "a date or moment")

    def _of_spine(self, spine: Spine) -> Iterator[str]:
        yield from self._unknown_table("table", spine.table)
        columns = self._columns(spine.table)
        missing = partial(_missing, columns, spine.table)
        yield from missing("key", spine.key)
        yield from missing("time", [spine.time])
        yield from missing("columns", spine.columns)
        yield from missing("partition", [spine.partition])
        yield from _no_moment(columns, "time", spine.time)
        if spine.contract:
            yield from self._of_spine_contract(spine, columns)
        source = next((o for o in self._all if isinstance(o, Source) and f"{o.name}/{VALIDATED}" == spine.table), None)
        if source is not None and source.drops.grain != spine.drops.grain:
            yield f"drops.grain: is {spine.drops.grain}, but the drops of {source.name} are {source.drops.grain}"

    def _of_spine_contract(self, spine: Spine, columns: Columns | None) -> Iterator[str]:
        try:
            said = self._contract_columns(spine.contract)
        except ValueError as error:
            yield f"contract: {error}"
            return
        yield from _missing(columns, spine.table, "contract", said)

    def _of_view(self, view: FeatureView) -> Iterator[str]:
        wrong = list(_no_sql(view))
        yield from wrong
        spine = self._find(Spine, view.spine)
        of_spine = partial(_missing, self._columns(spine.table), f"{spine.table} of spine {spine.name}")
        yield from of_spine("spine_keys" if view.spine_keys else "entity", view.spine_entity)
        if not wrong:
            for feature, text in view.request.items():
                yield from of_spine(f"request.{feature}", columns_read(view.name, [text]))
        yield from _online(view)
        if view.table is None:
            return
        yield from self._unknown_table("table", view.table)
        columns = self._columns(view.table)
        missing = partial(_missing, columns, view.table)
        yield from missing("entity", view.entity)
        if view.known_at is not None:
            yield from missing("known_at", [view.known_at])
            yield from _no_moment(columns, "known_at", view.known_at)
        if not wrong:
            for field, text in _table_expressions(view):
                yield from missing(field, columns_read(view.name, [text]))

    def _of_model(self, model: MLModel) -> Iterator[str]:
        spine = self._find(Spine, model.spine)
        views = [self._find(FeatureView, name) for name in model.features]
        columns = self._columns(spine.table)
        missing = partial(_missing, columns, f"{spine.table} of spine {spine.name}")
        yield from missing("label.column", [model.label.column])
        yield from missing("label.known_at", [model.label.known_at])
        yield from missing("slices", model.slices)
        yield from _unless(columns, "label.known_at", model.label.known_at, (pl.Datetime,), "a moment (Datetime)")
        yield from _no_row_to_train_on(model, spine)
        dtype = (columns or {}).get(model.label.column)
        if dtype is not None:
            yield from _told("label.column", lambda: find_task(model.task).check_label_type(model.label.column, dtype))
        elsewhere = [view.name for view in views if view.spine != model.spine]
        if elsewhere:
            yield f"features: {elsewhere} are computed for another spine than {model.spine}"
        yield from _told("features", lambda: refuse_twins(views))
        carried = [*spine.key, *spine.columns, *model.slices, *(c for view in views for c in view.spine_entity)]
        for view in views:
            yield from _told("features", lambda view=view: refuse_homonyms(view, carried))
            yield from _leaks(model, spine, view)
        yield from _unrequestable(spine, views, columns)
        yield from self._of_outcome(model, [name for view in views for name in view.feature_names], carried)

    def _of_outcome(self, model: MLModel, features: list[str], carried: list[str]) -> Iterator[str]:
        by, allowed = model.baseline.by, [*carried, *features]
        if by is not None and by not in allowed:
            yield f"baseline.by: there is no column {by!r}; there are {', '.join(dict.fromkeys(allowed))}"
        strange = [name for name in model.monitoring.exclude if name not in features]
        if strange:
            yield f"monitoring.exclude: {', '.join(strange)} is no feature; there are {', '.join(features)}"
        yield from _told("monitoring.", lambda: model.monitoring.estimated(model.task))
        fitting = find_task(model.task).metrics
        for field in ("floors", "ceilings"):
            unfit = [name for name in getattr(model.monitoring, field) if name not in fitting]
            if unfit:
                yield (
                    f"monitoring.{field}: {', '.join(unfit)} does not fit the task {model.task}; choose from "
                    f"{listed(fitting)}"
                )
        names = [*model.search.space, *model.training.parameters]
        yield from _told("kind", lambda: find_kind(model.kind).check_parameters(names))

    def _unknown_table(self, field: str, table: str) -> Iterator[str]:
        if table not in self._specs:
            tables = sorted(key for key in self._specs if not key.endswith(("/raw", "/quarantine")))
            made = {one.name for one in self._all if isinstance(one, MLModel)}
            there = [key for key in tables if key.partition("/")[0] not in {*made, "features", "online"}]
            yield f"{field}: no asset {table!r} is declared; there are {', '.join(there) or 'none'}"


def _contract_columns(contract: str) -> Columns:
    from ml_assets.quality.contracts import contract_schema, load_contract

    return contract_schema(load_contract(contract))


def _kept(columns: Columns) -> Columns:
    return {name: pl.Int64() if dtype == pl.Duration else dtype for name, dtype in columns.items()}


def _may_be_missing(source: Source, begins: Mapping[str, str | None]) -> Iterator[str]:
    for field, names in (("key_columns", source.key_columns), ("drops.column", [source.drops.column])):
        for name in names:
            if name in begins:
                yield f"{field}: column {name!r} may be missing from a drop by the contract {source.contract}"
    for name, since in begins.items():
        if since is not None and source.drops.grain == WHOLE:
            yield (
                f"contract: column {name!r} begins with drop {since}, but the source comes whole: let it be optional, "
                f"`{name}: Optional[...]`"
            )


def _missing(columns: Columns | None, table: str, field: str, names: Iterable[str]) -> Iterator[str]:
    if columns is not None:
        for name in names:
            if name not in columns:
                yield f"{field}: {table} has no column {name!r}; it has {', '.join(columns)}"


def _unless(columns: Columns | None, field: str, name: str, dtypes: tuple, wanted: str) -> Iterator[str]:
    dtype = (columns or {}).get(name)
    if dtype is not None and not isinstance(dtype, dtypes):
        yield f"{field}: column {name!r} is {dtype}, it must be {wanted}"


def _no_moment(columns: Columns | None, field: str, name: str) -> Iterator[str]:
    yield from _unless(columns, field, name, (pl.Datetime,), "a moment (Datetime)")
    dtype = (columns or {}).get(name)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is None:
        advice = 'declare pl.Datetime("us", "UTC")'
        yield f"{field}: column {name!r} is a time without a zone, it must be a moment: {advice}"


def _told(field: str, check: Callable[[], object]) -> Iterator[str]:
    """The message of a check that fails; after a field that ends with a dot it names one of that field's own."""
    try:
        check()
    except ValueError as error:
        yield f"{field}{'' if field.endswith('.') else ': '}{error}"


def _expressions(view: FeatureView) -> Iterator[tuple[str, str]]:
    yield from _table_expressions(view)
    yield from ((f"request.{feature}", text) for feature, text in view.request.items())


def _table_expressions(view: FeatureView) -> Iterator[tuple[str, str]]:
    for field in ("latest", "lookups"):
        yield from ((f"{field}.{feature}", text) for feature, text in getattr(view, field).items())
    yield from ((f"aggregates.{base}.of", spec.of) for base, spec in view.aggregates.items() if spec.of != "*")
    yield from (("order_by", text) for text in view.order_by)


def _online(view: FeatureView) -> Iterator[str]:
    if view.online is None:
        return
    if view.table is None:
        yield "online: the view has request features only: there is nothing to keep ready for requests"
    elif view.known_at is not None and view.online.freshness.fail_after > parse_duration(view.online.max_age):
        yield (
            f"online.freshness.fail: a build is made anew when it is {view.online.freshness.fail} old, but its values "
            f"expire after {view.online.max_age}: fail earlier, or let max_age be longer"
        )


def _no_sql(view: FeatureView) -> Iterator[str]:
    for field, text in _expressions(view):
        yield from _told(field, lambda text=text: columns_read(view.name, [text]))


def _unrequestable(spine: Spine, views: Sequence[FeatureView], columns: Columns | None) -> Iterator[str]:
    """Columns that a server would have to be given and no request can hold, of a model that can be served."""
    if offline_views(views) or columns is None:
        return
    for name in requested_columns(spine, views):
        dtype = columns.get(name)
        if dtype is not None and request_kind(dtype) is None:
            advice = {pl.Decimal: "Float64, or Int64", pl.Datetime: 'Datetime("us", "UTC")'}
            yield (
                f"features: column {name!r} of {spine.table} is {dtype}, which no request for a prediction can hold: "
                f"the model could be trained and not be served; declare "
                f"{advice.get(dtype.base_type(), 'a number, text, date or moment')} in its contract"
            )


def _no_row_to_train_on(model: MLModel, spine: Spine) -> Iterator[str]:
    """Whether the declared drops are too few. Drops without an end become enough one day, so nothing is said then."""
    drops, split = spine.drops, model.split
    if drops.end is None:
        return
    there = drop_start(drops.grain, drops.end) - drop_start(drops.grain, drops.start)
    taken = sum((parse_duration(part) for part in (split.validation, split.holdout, split.gap)), timedelta(0))
    if taken >= there:
        yield (
            f"split: validation, holdout and gap take {taken.days} days of the {there.days} that the drops of spine "
            f"{spine.name} span: no row is left to train on"
        )


def _leaks(model: MLModel, spine: Spine, view: FeatureView) -> Iterator[str]:
    """Features that read the outcome where it is not known yet."""
    outcome = {model.label.column, model.label.known_at}
    if model.label.column in view.feature_names:
        yield f"label.column: {model.label.column!r} is also a feature, of view {view.name}: rename or remove it"
        return
    # A row of the spine's own table that counts as known at its prediction time, or always.
    own = view.table == spine.table and view.known_at in (spine.time, None)
    for field, text in _expressions(view):
        if field.startswith("request.") or own:
            for name in sorted(outcome & set(columns_read(view.name, [text]))):
                yield (
                    f"label.column: feature view {view.name} reads {name!r} in {field}, at a time when the outcome is "
                    "not known: leave it out, or let known_at be when the outcome was known"
                )
