"""Wrong declarations, one change at a time, and the one line that each is answered with."""

import re
import shutil
import sys
import traceback
from textwrap import dedent

import pytest

from ml_assets.automation.projects import declared_in
from ml_assets.commands.init.project import create_project
from ml_assets.declarations.problems import DeclarationError
from ml_assets.project import load_current, load_project
from ml_assets_tests import processes

pytestmark = pytest.mark.slow

NAME = "wrongly_declared"
ORDERS, PICKED, MODEL = "orders/defs.yaml", "views/defs.yaml", "model/defs.yaml"

FILES = {
    ORDERS: """\
        type: ml_assets.Source
        attributes:
          name: orders
          description: One row per order.
          where: {path: orders.csv}
          contract: "wrongly_declared.contracts:Orders"
          key_columns: [id]
          required: [customer]
          drops:
            grain: monthly
            column: placed_at
            start: "2024-01"
        ---
        type: ml_assets.Spine
        attributes:
          name: orders
          table: orders/validated
          key: [id]
          time: placed_at
          partition: _drop
          drops: {grain: monthly, start: "2024-01"}
        """,
    PICKED: """\
        type: ml_assets.FeatureView
        attributes:
          name: order
          description: The order itself.
          spine: orders
          entity: [id]
          request: {price: amount}
        ---
        type: ml_assets.FeatureView
        attributes:
          name: customer
          description: What the customer did before.
          spine: orders
          entity: [customer]
          table: orders/validated
          known_at: settled_at
          windows: [7d, 28d]
          aggregates:
            returns: {of: CAST(returned AS DOUBLE), functions: [mean]}
        """,
    MODEL: """\
        type: ml_assets.MLModel
        attributes:
          name: returns
          description: Whether an order comes back.
          task: binary
          spine: orders
          label:
            column: returned
            known_at: settled_at
          features: [order, customer]
          split: {validation: 14d, holdout: 14d, gap: 3d}
        """,
}

CONTRACT = """\
import pandera.polars as pa
import polars as pl


class Orders(pa.DataFrameModel):
    id: pl.Int64
    customer: pl.String
    amount: pl.Float64
    placed_at: pl.Datetime("us", "UTC")
    settled_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True)
    returned: pl.Boolean = pa.Field(nullable=True)


class Untyped(pa.DataFrameModel):
    id: object


class Clock(Orders):
    placed_at: pl.Datetime("us")


class Priced(Orders):
    amount: pl.Decimal(10, 2)


class Lists(Orders):
    amount: pl.List(pl.Float64)


class Hashed(Orders):
    id: pl.UInt64


class Parcels(pa.DataFrameModel):
    id: pl.Int64
    weight: pl.Float64
"""

DURATION = "is no duration: write a whole positive number and one of s, m, h, d, w, such as '7d'"
COLUMNS = "id, customer, amount, placed_at, settled_at, returned"

WRONG = [
    # what Dagster, YAML and types say
    (MODEL, "task: binary", "task: binary: yes", ":5: no YAML: mapping values are not allowed here"),
    (
        MODEL,
        "ml_assets.MLModel",
        "ml_assets.Model",
        ":1: type: ml_assets has no component 'Model'; there are DbtTables, FeatureView, MLModel, Outcome, Source, "
        "Spine",
    ),
    (MODEL, "  spine: orders\n", "", ":2: spine: is missing"),
    (MODEL, "task: binary", "tasc: binary", ":5: tasc: there is no such field; did you mean task?"),
    (MODEL, "gap: 3d}", "gap: 3d, weeks: 3}", ":11: split.weeks: there is no such field; there are gap, group, "
     "group_train, holdout, min_rows, train, validation"),
    (MODEL, "task: binary", "task: ranking", ":5: task: 'ranking' is not allowed; choose from binary, multiclass, "
     "regression"),
    (MODEL, "gap: 3d}", "gap: 3d, min_rows: few}", ":11: split.min_rows: must be a whole number"),
    (MODEL, "gap: 3d}", "gap: 3d, min_rows: 1}", ":11: split.min_rows: 1 is less than 2"),
    (ORDERS, "name: orders\n  desc", "name: Orders\n  desc", ":3: name: string should match pattern "
     "'^[a-z][a-z0-9_]*$'"),
    # durations and drops
    (MODEL, "holdout: 14d", "holdout: two weeks", f":11: split.holdout: 'two weeks' {DURATION}"),
    (PICKED, "[7d, 28d]", "[7d, 28 days]", f":17: windows.1: '28 days' {DURATION}"),
    (MODEL, "task: binary", "freshness: {fail: 0d}", f":5: freshness.fail: '0d' {DURATION}"),
    (MODEL, "task: binary", "retraining: {cooldown: soon}", f":5: retraining.cooldown: 'soon' {DURATION}"),
    (ORDERS, 'start: "2024-01"\n---', 'start: "2024"\n---', ":12: drops.start: '2024' is no month: write it as "
     "YYYY-MM, in quotes"),
    (ORDERS, "drops: {grain: monthly, start: \"2024-01\"}", "drops: {grain: monthly, start: \"2024-02\"}", ":21: "
     "drops.start: is 2024-02, but that of Source orders is 2024-01: what one use case declares is cut into the same "
     "drops"),
    (ORDERS, "drops: {grain: monthly, start: \"2024-01\"}", "drops: {grain: whole}", ":21: drops.grain: is whole, but "
     "the drops of orders are monthly"),
    # what one names and is not there
    (MODEL, "spine: orders", "spine: customers", ":6: spine: 'customers' is not declared; there are orders"),
    (MODEL, "[order, customer]", "[order, shop]", ":10: features: shop is not declared; there are customer, order"),
    (ORDERS, "contracts:Orders", "contracts:Order", ":6: contract: contract 'wrongly_declared.contracts:Order' names "
     "no pandera.polars.DataFrameModel"),
    (ORDERS, "contracts:Orders", "contracts:Clock", ":19: time: column 'placed_at' is a time without a zone, it must "
     'be a moment: declare pl.Datetime("us", "UTC")'),
    (ORDERS, "contracts:Orders", "contracts:Lists", ":6: contract: contract 'wrongly_declared.contracts:Lists': column "
     "'amount' is List(Float64), which no table keeps: have its parts delivered as columns of their own"),
    (ORDERS, "contracts:Orders", "contracts:Hashed", ":6: contract: contract 'wrongly_declared.contracts:Hashed': "
     "column 'id' is UInt64, which no table keeps: declare Int64, or String, which holds the digits of any whole "
     "number"),
    (ORDERS, "[customer]", "[client]", ":8: required: the contract wrongly_declared.contracts:Orders has no column "
     f"'client'; it has {COLUMNS}"),
    (ORDERS, "[customer]", "[customer]\n  columns: {at: {time_zone: UTC}}", ":9: columns: the contract "
     f"wrongly_declared.contracts:Orders has no column 'at'; it has {COLUMNS}"),
    (ORDERS, "[customer]", "[customer]\n  columns: {amount: {time_zone: UTC}}", ":9: columns.amount: a date or time "
     "does not become Float64: declare pl.Date or pl.Datetime"),
    (ORDERS, "[customer]", '[customer]\n  columns: {placed_at: {format: "%d.%m.%Y %H:%M"}}', ":9: columns.placed_at: "
     "which moment a time without an offset is cannot be told: declare its `time_zone`"),
    (ORDERS, "[customer]", '[customer]\n  columns: {placed_at: {format: "%d.%m."}}', ":9: columns.placed_at.format: "
     "'%d.%m.' tells no year; write it as by strftime, such as %Y-%m-%d, or epoch_seconds, epoch_milliseconds, "
     "epoch_microseconds"),
    (ORDERS, "[customer]", "[customer]\n  csv: {delimiter: ab}", ":9: csv.delimiter: 'ab' must be one character of "
     'ASCII such as ";"'),
    (ORDERS, "[customer]", "[customer]\n  csv: {encoding: klingon}", ":9: csv.encoding: Python knows no text encoding "
     "'klingon'; such are cp1252, latin-1, utf-16"),
    (ORDERS, "column: placed_at", "column: amount", ":11: drops.column: column 'amount' is Float64, it must be a date "
     "or moment"),
    (ORDERS, "table: orders/validated", "table: order/validated", ":17: table: no asset 'order/validated' is declared; "
     "there are orders/validated"),
    (ORDERS, "time: placed_at", "time: placed", ":19: time: orders/validated has no column 'placed'; it has "
     f"{COLUMNS}, _drop"),
    (ORDERS, "partition: _drop", "partition: _drop\n  contract: wrongly_declared.contracts:Order", ":21: contract: "
     "contract 'wrongly_declared.contracts:Order' names no pandera.polars.DataFrameModel"),
    (ORDERS, "partition: _drop", "partition: _drop\n  contract: wrongly_declared.contracts:Parcels", ":21: contract: "
     f"orders/validated has no column 'weight'; it has {COLUMNS}, _drop"),
    (PICKED, "{price: amount}", "{price: amont}", ":7: request.price: orders/validated of spine orders has no column "
     f"'amont'; it has {COLUMNS}, _drop"),
    (PICKED, "CAST(returned AS DOUBLE)", "CAST(returned AS", ":19: aggregates.returns.of: feature view 'customer': "
     "`CAST(returned AS` is no Polars SQL expression (unable to parse 'CAST(returned AS' as Expr); a column that is "
     "named like a SQL word needs double quotes"),
    (PICKED, "[mean]", "[median]", ":19: aggregates.returns.functions.0: 'median' is not allowed; choose from mean, "
     "sum, count, min, max, std"),
    (PICKED, "{price: amount}", "{price: amount}\n  online: {}", ":8: online: the view has features of the row only: "
     "there is nothing to keep ready for requests"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  online: {max_age: 12h}", ":17: online.freshness.fail: a "
     "build is made anew when it is 24h old, but its values expire after 12h: fail earlier, or let max_age be longer"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  online: {contract: \"nowhere:Row\"}",
     ":17: online.contract: 'nowhere:Row': there is no module nowhere; write the contract as 'package.module:Class'"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  online: {max_age: soon}", f":17: online.max_age: 'soon' "
     f"{DURATION}"),
    (PICKED, "{price: amount}", "{price: amount}\n  derived: {double: amount * 2}", ":8: derived.double: `amount * 2` "
     "reads amount, which is no feature of the view; it has price"),
    (PICKED, "{price: amount}", "{price: amount}\n  derived: {share: price / SUM(price)}", ":8: derived.share: `price "
     "/ SUM(price)` reaches across rows; use an expression of one row's features"),
    (PICKED, "{price: amount}", "{price: amount}\n  calendar: {day: {at: amount, time_zone: UTC, parts: [day]}}", ":8: "
     "calendar.day.at: column 'amount' of orders/validated is Float64, not a moment with its zone or a date"),
    (PICKED, "{price: amount}", "{price: amount}\n  calendar: {day: {time_zone: UTC, parts: [holiday], country: XY}}",
     ":8: calendar.day.country: 'XY' is none whose holidays are known; write its ISO 3166-1 code, such as FR"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  lags: {ago: {of: amount, offset: soon}}", ":17: "
     f"lags.ago.offset: 'soon' {DURATION}"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  planned: {valid_at: amount, holding: {n: {of: amount}}}",
     ":17: planned.valid_at: column 'amount' is Float64, it must be a moment (Datetime)"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  planned: {valid_at: placed_at, holding: {n: {of: amt}}}",
     f":17: planned.holding.n.of: orders/validated has no column 'amt'; it has {COLUMNS}, _drop"),
    (PICKED, "known_at: settled_at", "known_at: settled_at\n  planned: {valid_at: placed_at, ahead: [1d], aggregates: "
     "{n: {functions: [count], at: placed_at}}}\n  online: {}", ":18: online: feature view 'customer': planned "
     "features are about placed_at of the row to predict, and what is kept ready is known by entity and moment alone: "
     "declare them by `after` and `ahead` alone"),
    (PICKED, "known_at: settled_at", "known_at: amount", ":16: known_at: column 'amount' is Float64, it must be a "
     "moment (Datetime)"),
    # a label that is a feature
    (PICKED, "{price: amount}", "{returned: returned}", (MODEL, ":8: label.column: 'returned' is also a feature, of "
     "view order: rename or remove it")),
    (PICKED, "{price: amount}", "{price: CAST(returned AS DOUBLE)}", (MODEL, ":8: label.column: feature view order "
     "reads 'returned' in request.price, at a time when the outcome is not known: leave it out, or let known_at be "
     "when the outcome was known")),
    (PICKED, "{price: amount}", "{price: amount}\n  calendar: {d: {at: settled_at, time_zone: UTC, parts: [day]}}",
     (MODEL, ":8: label.column: feature view order reads 'settled_at' in calendar.d.at, at a time when the outcome is "
     "not known: leave it out, or let known_at be when the outcome was known")),
    (PICKED, "known_at: settled_at", "known_at: placed_at", (MODEL, ":8: label.column: feature view customer reads "
     "'returned' in aggregates.returns.of, at a time when the outcome is not known: leave it out, or let known_at be "
     "when the outcome was known")),
    # what does not fit the task or the kind
    (MODEL, "column: returned", "column: customer", ":8: label.column: label customer is String, it must be boolean or "
     "integer 0/1"),
    (MODEL, "task: binary", "metric: rmse", ":5: metric: rmse does not fit the task binary; choose from roc_auc, "
     "average_precision, log_loss, brier, f1, value, precision_at_<k>, recall_at_<k>, lift_at_<k>"),
    (MODEL, "task: binary", "floors: {r2: 0.5}", ":5: floors: r2 does not fit the task binary; choose from roc_auc, "
     "average_precision, log_loss, brier, calibration_error, f1, value, positive_calibration_error, precision_at_<k>, "
     "recall_at_<k>, lift_at_<k>"),
    (MODEL, "task: binary", "intervals: {coverage: 0.9}", ":5: intervals: is for the task regression, not binary: "
     "leave it out"),
    (MODEL, "task: binary", "monitoring: {estimated_metrics: [mae]}", ":5: monitoring.estimated_metrics: mae cannot be "
     "estimated for task binary; choose from roc_auc, average_precision, f1, "
     "value, precision_at_<k>, recall_at_<k>, lift_at_<k>"),
    (MODEL, "task: binary", "monitoring: {exclude: [prize]}", ":5: monitoring.exclude: prize is no feature; there are "
     "price, returns_mean_7d, returns_mean_28d"),
    (MODEL, "task: binary", "kind: catboost", ":5: kind: there is no kind 'catboost': choose xgboost, lightgbm, or "
     "sklearn: and the path of an estimator, such as sklearn:sklearn.linear_model.Ridge"),
    (MODEL, "task: binary", "kind: sklearn:sklearn.ensemble.RandomFrost\n  search: {space: {max_depth: {low: 1, "
     "high: 9}}}", ":5: kind: sklearn:sklearn.ensemble.RandomFrost: there is no RandomFrost in sklearn.ensemble"),
    (MODEL, "task: binary", "training: {parameters: {n_jobs: 2}}", ":5: training.parameters.n_jobs: is set by "
     "training.threads: leave it out"),
    (MODEL, "task: binary", "baseline: {by: city}", ":5: baseline.by: there is no column 'city'; there are id, "
     "customer, price, returns_mean_7d, returns_mean_28d"),
]  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong") / NAME
    create_project(folder)
    (folder / NAME / "contracts.py").write_text(CONTRACT)
    for file, text in FILES.items():
        written = folder / NAME / "defs" / "shop" / file
        written.parent.mkdir(parents=True)
        written.write_text(dedent(text))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("ML_ASSETS_HOME", str(folder / "home"))
        yield folder


@pytest.fixture
def changed(project):
    """Changes one text of a declaration, for one test."""
    changes = []

    def change(file, before, after):
        path = project / NAME / "defs" / "shop" / file
        text = path.read_text()
        changes.append((path, text))
        assert text.count(before) == 1, f"{before!r} is {text.count(before)} times in {file}"
        path.write_text(text.replace(before, after))
        return f"{NAME}/defs/shop/{file}"

    yield change
    for path, text in reversed(changes):
        path.write_text(text)


def load(project):
    return load_project(project / NAME / "definitions.py")


def test_what_is_changed_is_right_at_first(project):
    assert load(project).resolve_all_asset_specs()


@pytest.mark.parametrize(("file", "before", "after", "answer"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_declaration_is_answered_by_one_line(project, changed, file, before, after, answer):
    where = changed(file, before, after)
    if isinstance(answer, tuple):
        where, answer = f"{NAME}/defs/shop/{answer[0]}", answer[1]
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value) == where + answer


def test_what_could_be_trained_and_not_served_is_told_before_training(project, changed):
    changed(ORDERS, "contracts:Orders", "contracts:Priced")
    where = changed(MODEL, "[order, customer]", "[order]")
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value) == (
        f"{where}:10: features: column 'amount' of orders/validated is Decimal(precision=10, scale=2), which no "
        "request for a prediction can hold: the model could be trained and not be served; declare Float64, or Int64 "
        "in its contract"
    )


def test_drops_that_are_fewer_than_the_split_wants_are_told(project, changed):
    changed(
        ORDERS, 'drops: {grain: monthly, start: "2024-01"}', 'drops: {grain: monthly, start: "2024-01", end: "2024-02"}'
    )
    changed(ORDERS, 'start: "2024-01"\n---', 'start: "2024-01"\n    end: "2024-02"\n---')
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value) == (
        f"{NAME}/defs/shop/{MODEL}:11: split: validation, holdout and gap take 31 days of the 31 that the drops of "
        "spine orders span: no row is left to train on"
    )


def test_all_that_is_wrong_is_told_at_once(project, changed):
    changed(ORDERS, "required: [customer]", "required: [client]")
    changed(PICKED, "{price: amount}", "{price: amont}")
    changed(MODEL, "known_at: settled_at", "known_at: settled")
    with pytest.raises(DeclarationError) as told:
        load(project)
    lines = str(told.value).splitlines()
    assert [line.split(": ")[1] for line in lines] == ["label.known_at", "required", "request.price"]


def test_two_of_one_name_are_refused_where_each_is_declared(project, changed):
    where = changed(PICKED, "name: customer", "name: order")
    changed(MODEL, "[order, customer]", "[order]")
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert f"{where}:3: name: 'order' is declared 2 times" in str(told.value)
    assert f"{where}:11: name: 'order' is declared 2 times" in str(told.value)


def test_a_contract_that_changes_is_looked_at_again(project):
    load(project)
    contracts = project / NAME / "contracts.py"
    contracts.write_text(CONTRACT.replace("amount", "price"))
    done = run(project, "ml-assets", "try", "returns")
    contracts.write_text(CONTRACT)
    assert "request.price: orders/validated of spine orders has no column 'amount'" in done.stderr


def test_a_module_that_a_contract_is_made_of_is_looked_at_again(project, changed):  # noqa: ARG001
    package, passed = project / NAME, project / "home" / "coherent"
    load(project)
    before = passed.read_text()
    (package / "base.py").write_text("LIMIT = 3\n")
    load(project)
    after = passed.read_text()
    (package / "base.py").unlink()
    assert after != before


def test_drops_without_an_end_are_enough_whatever_the_day(project, changed):
    changed(ORDERS, 'drops: {grain: monthly, start: "2024-01"}', 'drops: {grain: monthly, start: "2999-01"}')
    changed(ORDERS, 'start: "2024-01"\n---', 'start: "2999-01"\n---')
    assert load(project).resolve_all_asset_specs()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", ["ml-assets online shop", "ml-assets try returns", "dg check defs"])
def test_every_command_says_it_without_a_traceback_of_ours(project, changed, command):
    where = changed(MODEL, "column: returned", "column: return")
    said = f"{where}:8: label.column: orders/validated of spine orders has no column 'return'; it has {COLUMNS}, _drop"
    done = run(project, *command.split())
    assert done.returncode == (2 if command.startswith("ml-assets") else 1)
    if command.startswith("ml-assets"):
        assert done.stderr.splitlines() == [f"error: {said}"]
    else:
        assert f"DeclarationError: {said}\n" in done.stdout + done.stderr


@pytest.mark.timeout(120)
def test_dg_check_yaml_tells_unknown_fields(project, changed):
    where = changed(MODEL, "task: binary", "tasc: binary")
    done = run(project, "dg", "check", "yaml")
    assert done.returncode == 1
    assert f"{where}:5" in done.stdout + done.stderr
    assert "'tasc' was unexpected" in done.stdout + done.stderr


def run(project, program, *arguments):
    return processes.run(program, *arguments, cwd=project, timeout=100, ML_ASSETS_HOME=project / "home", COLUMNS=400)


@pytest.fixture
def other(project):
    """Writes files of another use case, and what its name stands for; they are gone afterwards."""
    folder = project / NAME / "defs" / "other"

    def write(**files):
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("_yaml", ".yaml").replace("_py", ".py")).write_text(dedent(text))
        return f"{NAME}/defs/other"

    yield write
    shutil.rmtree(folder, ignore_errors=True)
    for name in [name for name in sys.modules if name.startswith(f"{NAME}.defs.other")]:
        del sys.modules[name]


IN_PYTHON = [
    ("def price(:\n", ":1: SyntaxError: invalid syntax"),
    ("\nimport no_such_library\n", ":2: ModuleNotFoundError: No module named 'no_such_library'"),
    ("def price(row):\n    return row['price']\n\n\nprice({})\n", ":2: KeyError: 'price'"),
    ("raise RuntimeError('first\\nsecond')\n", ":1: RuntimeError: first second"),
]


@pytest.mark.parametrize(("text", "answer"), IN_PYTHON, ids=lambda value: value[:20])
def test_what_a_file_of_ones_own_raises_is_one_line_with_file_and_line(project, other, text, answer):
    where = other(wrong_py=text)
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value) == f"{where}/wrong.py{answer}"
    assert told.value.__cause__ is None
    frames = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(told.tb)]
    assert len([name for name in frames if "ml_assets/" in name and "ml_assets_tests" not in name]) == 1


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 / 0\n", "contracts.py:1: ZeroDivisionError: division by zero"),
        ("class Orders(:\n", "contracts.py:1: SyntaxError: invalid syntax"),
    ],
)
def test_a_contract_whose_module_fails_is_told_with_its_line(project, text, answer):
    contracts = project / NAME / "contracts.py"
    contracts.write_text(text)
    sys.modules.pop(f"{NAME}.contracts", None)
    try:
        with pytest.raises(DeclarationError) as told:
            load(project)
    finally:
        contracts.write_text(CONTRACT)
    (line,) = str(told.value).splitlines()
    assert line.startswith(f"{NAME}/defs/shop/{ORDERS}:6: contract: contract '{NAME}.contracts:Orders': module ")
    assert line.endswith(answer)


DBT = """\
    type: ml_assets.DbtTables
    attributes: {select: "path:models/other", folder: models/other}
"""


def test_a_dbt_project_that_is_not_there_is_told(project, other):
    where = other(defs_yaml=DBT)
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value) == (
        f"{where}/defs.yaml:2: project: there is no dbt project dbt_project beside pyproject.toml: `dbt init` makes "
        "one, or name its folder"
    )


BROKEN = [
    {"defs_yaml": "type: ml_assets.Spine\nattributes: {name: [\n"},
    {"defs_yaml": "type: ml_assets.Spine\nattributes: {name: x}\n"},
    {"defs_yaml": "type: ml_assets.Sauce\nattributes: {name: x}\n"},
    {"defs_yaml": DBT},
    {"wrong_py": "1 / 0\n"},
]


@pytest.mark.parametrize("files", BROKEN, ids=["no YAML", "no field", "no type", "no dbt project", "Python"])
def test_a_use_case_that_is_wrong_is_left_out_and_told_and_the_others_are_loaded(project, other, monkeypatch, files):
    where = other(**files)
    monkeypatch.chdir(project)
    load_current.cache_clear()
    definitions = load_current()
    load_current.cache_clear()
    assert definitions.resolve_job_def("shop_train") is not None
    ((use_case, message),) = definitions.component_tree.left_out.items()
    assert use_case == "other"
    assert message.startswith(where)
    declared = declared_in(definitions)
    assert [model.name for model in declared.only("shop").models] == ["returns"]
    with pytest.raises(ValueError, match=re.escape(where)):
        declared.only("other")


def test_two_sources_of_one_name_in_two_use_cases_are_told_where_each_is_declared(project, other):
    source = dedent(FILES[ORDERS]).split("---")[0]
    where = other(defs_yaml=source)
    with pytest.raises(DeclarationError) as told:
        load(project)
    assert str(told.value).splitlines() == [
        f"{where}/defs.yaml:3: name: 'orders' is declared 2 times",
        f"{NAME}/defs/shop/{ORDERS}:3: name: 'orders' is declared 2 times",
    ]


def test_a_command_tells_what_is_wrong_elsewhere_and_goes_on(project, other):
    where = other(wrong_py="def price(:\n")
    done = run(project, "ml-assets", "status")
    assert done.stderr.splitlines() == [f"error: {where}/wrong.py:1: SyntaxError: invalid syntax"]
    assert "train a first champion" in done.stdout
    assert done.returncode == 2, "something is not shown"
    done = run(project, "ml-assets", "summary", "shop")
    assert (done.returncode, done.stderr) == (0, "")
    done = run(project, "ml-assets", "online", "shop")
    assert done.stderr.splitlines()[0] == f"error: {where}/wrong.py:1: SyntaxError: invalid syntax"
    assert "shop keeps no features for requests" in done.stderr


def test_a_mistake_of_the_platforms_own_keeps_its_traceback(project, monkeypatch):
    def mistake(*_):
        raise KeyError("ours")

    monkeypatch.setattr("ml_assets.components.sources.source.raw_asset", mistake)
    with pytest.raises(Exception, match="Error while"):
        load(project)
