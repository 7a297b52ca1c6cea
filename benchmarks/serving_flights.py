"""The flights' own model, 99 features of which 13 views look up most, and Feast's server of the same look-ups."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl
from flights_served import MODEL, SPINE, TIME, Flights
from serving_cases import Case, Server, cases
from serving_made_up import PEERS, script

from ml_assets.commands.serving.serve import ServeSettings
from ml_assets.features.stored import stored_features, stored_view
from ml_assets.handover.feast.moments import EVERYTHING
from ml_assets.handover.feast.repository import ViewInLake, export_views

BUILT, ASKED, KNOWN = (datetime(2013, 10, 1, hour, tzinfo=UTC) for hour in (7, 12, 13))
"""When the online features are built, what moment requests are about, and until when facts are pushed before."""

REQUESTS = 2_000


def flights_servers(flights: Flights) -> Iterator[Server]:
    """Return ours: without and with the log, and once more for pushes, which change what is read."""
    ready(flights)
    rows = list(asked_rows(flights))
    predict = f"/v1/models/{MODEL}/predict"
    features = feature_rows(flights, rows)
    asked = [
        *cases(" flights, v1, 13 views", predict, rows, _by_key),
        *cases(" flights, /invocations", "/invocations", features, _records),
        *cases(" flights, v2", f"/v2/models/{MODEL}/infer", features, _tensors),
    ]
    yield Server("ml_assets", _command(flights, logged=False), "/ping", asked)
    logged = list(cases(" flights, v1, 13 views, logged", predict, rows, _by_key))
    yield Server("ml_assets", _command(flights, logged=True), "/ping", logged)
    yield Server("ml_assets", _command(flights, logged=False), "/ping", pushes(flights))


def ready(flights: Flights) -> None:
    """Build the online features, and push the facts until KNOWN."""
    flights.build(BUILT)
    flights.follow(KNOWN)


def _command(flights: Flights, *, logged: bool):
    file = flights.home.root / f"logged_{logged}.json"
    settings = ServeSettings(models=[MODEL], declared=flights.declared, replay=True, logged=logged)
    file.write_text(settings.model_dump_json())
    return script("ml_assets_server", str(file))


def asked_rows(flights: Flights) -> Iterator[dict[str, Any]]:
    """Return what is asked of the flights that are predicted from the moment ASKED on."""
    return islice(flights.rows(ASKED, ASKED + timedelta(days=3)).drop(TIME).iter_rows(named=True), REQUESTS)


def feature_rows(flights: Flights, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the features of what is asked."""
    frame = pl.DataFrame(rows).with_columns(pl.lit(ASKED).alias(TIME))
    model = flights.registry.load(MODEL, alias="champion")
    return flights.features(frame).select(model.features).to_dicts()


def _by_key(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"as_of": ASKED.isoformat(), "rows": list(rows)}


def _records(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"dataframe_records": list(rows)}


def _tensors(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"inputs": [_tensor(name, [row[name] for row in rows]) for name in rows[0]]}


def _tensor(name: str, values: list) -> dict[str, Any]:
    kinds = {bool: "BOOL", str: "BYTES"}
    datatype = next((kinds[type(value)] for value in values if type(value) in kinds), "FP64")
    return {"name": name, "datatype": datatype, "shape": [len(values)], "data": values}


def pushes(flights: Flights) -> list[Case]:
    """Return pushes of single facts by table, each of them new: landed flights, and departures that are due."""
    return [_push(flights, SPINE, "arrived_at"), _push(flights, "departure_board", "happened_at")]


def _push(flights: Flights, table: str, moment: str) -> Case:
    columns = [field.name for field in flights.declared.tables[table].fields]
    later = flights.lake.scan(table).filter(pl.col(moment).is_between(KNOWN, KNOWN + timedelta(days=30)))
    facts = later.sort(moment).select(columns).head(20_000).collect().to_dicts()
    views = sum(view.table == table for view in flights.views)
    bodies = [{"as_of": fact[moment].isoformat(), "rows": [fact]} for fact in facts]
    encoded = [json.dumps(body, default=datetime.isoformat).encode() for body in bodies]
    return Case(f" flights, push of a fact to {views} views", f"/v1/push/table/{table}", encoded)


def feast_server(flights: Flights, folder: Path, python: Path) -> Server:
    """Return Feast's online server of what the views hold at the moment ASKED.

    Raises:
        CalledProcessError: it cannot be filled.
    """
    views = [ViewInLake(view, flights.lake.scan(view.table or ""), timedelta(days=1)) for view in flights.views]
    export_views("flights", views, folder, since=ASKED - timedelta(hours=1), as_of=ASKED)
    file, until = PEERS / "feast_server.py", ASKED.replace(tzinfo=None)
    since = (until - timedelta(hours=1)).isoformat()
    subprocess.run([python, file, "fill", folder, since, until.isoformat()], check=True, stdout=subprocess.DEVNULL)
    wanted = [f"{view.name}:{name}" for view in flights.views for name in stored_features(stored_view(view))]
    keys = list(dict.fromkeys(key for view in flights.views for key in view.spine_entity))

    def body(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        entities = {key: [row[key] for row in rows] for key in keys}
        return {"features": wanted, "entities": entities | {EVERYTHING: [1] * len(rows)}}

    rows = [
        row for row in asked_rows(flights) if None not in [row[key] for key in keys]
    ]  # Feast takes no null as a key
    asked = list(cases(", the look-ups alone", "/get-online-features", rows, body))
    command = script("feast_server", str(folder), python=str(python), folder=PEERS)
    return Server("Feast", lambda port: _served(command(port)), "/health", asked, {"FEAST_USAGE": "False"})


def _served(command: list[str]) -> list[str]:
    python, file, port, folder = command
    return [python, file, "serve", folder, port]
