"""A made-up model of 300 trees over 30 numeric features, and its servers: ours, plain ones, and those of others."""

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from serving_cases import Case, Server, cases

BIN, HERE = Path(sys.executable).parent, Path(__file__).parent
SERVERS, PEERS = HERE / "servers", HERE / "peers"
FEATURES, TREES, ENTITIES, REQUESTS = 30, 300, 20_000, 2_000
STORED = range(6, FEATURES)
MODEL = "benchmark"
NAMES = [f"x{number}" for number in range(FEATURES)]

Rows = Sequence[dict[str, Any]]


def register_model(home: Path) -> Path:
    """Fit the model, make it champion; returns where its MLflow files lie."""
    import numpy as np
    import polars as pl

    from ml_assets.home import Home
    from ml_assets.registry.records import RunOrigin
    from ml_assets.registry.registry import Registry
    from ml_assets.settings import read_settings
    from ml_assets.training.fit import fit_model
    from ml_assets.training.spec import TrainingSpec

    os.environ["ML_ASSETS_HOME"] = str(home)
    place = Home.of(read_settings())
    (home / "mlflow" / "artifacts").mkdir(parents=True)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, FEATURES))
    label = values @ rng.normal(size=FEATURES) + rng.normal(size=20_000) > 0
    rows = pl.DataFrame(values, schema=NAMES).with_columns(y=pl.Series(label))
    training = TrainingSpec(max_rounds=TREES, early_stopping_rounds=TREES)
    model = fit_model(
        rows.head(15_000), rows.tail(5_000), features=NAMES, label="y", training=training, metric="log_loss", seed=0,
        parameters={"max_depth": 6, "learning_rate": 0.02},
    )  # fmt: skip
    registry = Registry(place.mlflow, place.mlflow_artifacts, "ml_assets")
    origin = RunOrigin(dagster_run_id="benchmark", code_commit="", table_versions={}, declaration={})
    with registry.training_run(MODEL, origin, tags={}) as run:
        logged = run.log_model(MODEL, model, rows.head(5))
        version = registry.register(MODEL, logged, tags={})
    registry.set_alias(MODEL, "challenger", version.version)
    registry.promote(MODEL, version.version)
    return Path(registry.champion(MODEL).location.removeprefix("file://"))


def build_online(home: Path) -> Path:
    """Keep 24 features of every account ready in SQLite; returns the settings of a server that knows of them."""
    from datetime import UTC, datetime, timedelta

    import numpy as np
    import polars as pl

    from ml_assets.commands.serving.serve import ServeSettings
    from ml_assets.features.spec import FeatureViewSpec
    from ml_assets.home import Home
    from ml_assets.online.build import build_view
    from ml_assets.online.stores.opening import open_store
    from ml_assets.serving.declared import Declarations, OnlineView, RequestField, ServedModel
    from ml_assets.settings import read_settings

    accounts = FeatureViewSpec(
        name="accounts", description="What is known of an account.", table="accounts", entity=["account"],
        known_at="known_at", latest={f"x{at}": f"x{at}" for at in STORED},
    )  # fmt: skip
    asked = FeatureViewSpec(
        name="asked", description="What a request tells.",
        request={
            **{f"x{at}": f"a{at}" for at in range(4)},
            "x4": "CAST(minute AS DOUBLE) / 720 - 1",
            "x5": "FLOOR(minute / 60) / 12 - 1",
        },
    )  # fmt: skip
    now = datetime.now(UTC)
    values = np.random.default_rng(1).normal(size=(ENTITIES, len(STORED)))
    table = pl.DataFrame(values, schema=[f"x{at}" for at in STORED]).with_columns(
        account=pl.int_range(ENTITIES), known_at=pl.lit(now - timedelta(minutes=5)).cast(pl.Datetime("us", "UTC"))
    )
    build_view(
        open_store(Home.of(read_settings()).online_store), accounts, table.lazy(), as_of=now, max_age=timedelta(days=1),
        build="benchmark",
    )  # fmt: skip
    fields = [
        RequestField(name="account", kind="integer", dtype="Int64", nullable=False),
        *(RequestField(name=f"a{at}", kind="number", dtype="Float64", minimum=-10, maximum=10) for at in range(4)),
        RequestField(name="minute", kind="integer", dtype="Int64", minimum=0, maximum=1439),
    ]
    model = ServedModel(name=MODEL, key=["account"], time="asked_at", fields=fields, views=[asked, accounts])
    declared = Declarations(models={MODEL: model}, online={"accounts": OnlineView(view=accounts, fields=[])})
    for logged in (False, True):
        settings = ServeSettings(models=[MODEL], declared=declared, logged=logged)
        (home / f"logged_{logged}.json").write_text(settings.model_dump_json())
    return home


def rows() -> Iterator[dict[str, Any]]:
    """Draw what is asked: features, and beside them an account and what goes with it."""
    drawn = random.Random(0)
    for _ in range(REQUESTS):
        known = {"account": drawn.randrange(ENTITIES), "minute": drawn.randrange(1440)}
        yield {name: drawn.gauss(0, 1) for name in NAMES} | known


def _features(row: dict[str, Any]) -> dict[str, float]:
    return {name: row[name] for name in NAMES}


def _one(rows: Rows) -> dict[str, Any]:
    return _features(rows[0])


def _records(rows: Rows) -> dict[str, Any]:
    return {"dataframe_records": [_features(row) for row in rows]}


def _tensors(rows: Rows) -> dict[str, Any]:
    shape = [len(rows)]
    return {
        "inputs": [
            {"name": name, "datatype": "FP64", "shape": shape, "data": [row[name] for row in rows]} for name in NAMES
        ]
    }


def _by_key(rows: Rows) -> dict[str, Any]:
    return {"rows": [_asked(row) for row in rows]}


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    asked = {f"a{at}": min(max(row[f"x{at}"], -10), 10) for at in range(4)}
    return {"account": row["account"], **asked, "minute": row["minute"]}


def script(
    name: str, *arguments: str, python: str = sys.executable, folder: Path = SERVERS
) -> Callable[[int], list[str]]:
    """Return how a script of `servers` is started at a port."""
    return lambda port: [python, str(folder / f"{name}.py"), str(port), *arguments]


def servers(home: Path, location: Path) -> Iterator[Server]:
    """Return the servers of the model in a home, and those of its file.

    Args:
        location: of the model's MLflow files.
    """
    booster, asked = str(location / "model.ubj"), list(rows())

    def one(path: str, body=_one) -> list[Case]:
        return list(cases("", path, asked, body, [1]))

    yield Server("no model: Starlette", script("no_model"), "/ready", one("/predict"))
    yield Server("no model: FastAPI", script("fastapi_xgboost"), "/ready", one("/predict"))
    yield Server("FastAPI + XGBoost", script("fastapi_xgboost", booster), "/ready", one("/predict"))
    predict, infer = f"/v1/models/{MODEL}/predict", f"/v2/models/{MODEL}/infer"
    ours = [
        *cases(" /invocations", "/invocations", asked, _records),
        *cases(" v2", infer, asked, _tensors),
        *cases(" v1, looked up", predict, asked, _by_key),
    ]
    yield Server("ml_assets", script("ml_assets_server", str(home / "logged_False.json")), "/ping", ours)
    logged = list(cases(" v1, looked up, logged", predict, asked, _by_key, [1]))
    yield Server("ml_assets", script("ml_assets_server", str(home / "logged_True.json")), "/ping", logged)
    mlflow = [str(BIN / "mlflow"), "models", "serve", "-m", str(location), "--env-manager", "local", "-p"]
    yield Server("mlflow models serve", lambda port: [*mlflow, str(port)], "/ping", one("/invocations", _records))


def peers(location: Path, python: Path) -> Iterator[Server]:
    """Return the servers of other projects, where a Python has them."""
    infer, asked = f"/v2/models/{MODEL}/infer", list(rows())
    for name, file, ready, path, body in (
        ("LitServe", "litserve_server", "/health", "/invocations", _records),
        ("BentoML", "bentoml_server", "/readyz", "/invocations", _records),
        ("MLServer", "mlserver_server", "/v2/health/ready", infer, _tensors),
    ):
        command = script(file, python=str(python), folder=PEERS)
        environment = {"BENCHMARK_MODEL": str(location / "model.ubj")}
        yield Server(name, command, ready, list(cases("", path, asked, body, [1])), environment)
