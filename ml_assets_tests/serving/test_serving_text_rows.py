"""MLflow's and SageMaker's clients: NaN, CSV and lines of JSON, in and out."""

import csv
import io
import json

import mlflow
import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from mlflow.utils.proto_json_utils import dump_input_data
from starlette.testclient import TestClient

from ml_assets.serving.http.app import make_app
from ml_assets.serving.http.limits import Limits
from ml_assets.serving.protocols.json_body import read_json
from ml_assets_tests.serving.spooled import SpooledLog

ROWS = [
    {"km": 12.5, "express": False, "courier": "bob"},
    {"km": None, "express": True, "courier": "ann"},
    {"km": 71.25, "express": None, "courier": None},
]
CSV = b"courier,km,express\nbob,12.5,false\nann,,true\n,71.25,\n"
PLAIN = b"12.5,False,bob\n,1,ann\n71.25,,\n"


@pytest.fixture
def client(registry):
    with TestClient(make_app(registry, ["late"], Limits(rows=5))) as client:
        yield client


@pytest.fixture
def predictions(client):
    return client.post("/invocations", json={"dataframe_records": ROWS}).json()["predictions"]


def posted(client, body, kind, accept="*/*"):
    return client.post("/invocations", content=body, headers={"content-type": kind, "accept": accept})


def test_mlflows_own_dump_of_missing_values(client, predictions):
    frame = pd.DataFrame(ROWS)
    frame.loc[frame["courier"].isna(), "courier"] = np.nan
    body = dump_input_data(frame)
    assert "NaN" in body
    assert posted(client, body.encode(), "application/json").json()["predictions"] == predictions


def test_mlflows_own_client_is_answered(registry, run_server, predictions):
    host, port = run_server(make_app(registry, ["late"], Limits(rows=5))).split(":")
    client = ScoringServerClient(host, int(port))
    client.wait_server_ready()
    assert client.get_version() == mlflow.__version__
    frame = pd.DataFrame(ROWS)
    for data, params in ((frame, None), (frame, {"unknown": 1})):
        assert json.loads(client.invoke(data, params).to_json())["predictions"] == predictions


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (CSV, "text/csv"),
        (CSV.replace(b"\n", b"\r\n"), "Text/CSV; charset=UTF-8"),
        (b"\xef\xbb\xbf" + CSV, "text/csv; header=present"),
        (b'"courier","km","express"\n"bob","12.5","false"\n"ann","NaN","TRUE"\n"","71.25","NA"\n', "text/csv"),
        (PLAIN, "text/csv"),
        (PLAIN, "text/csv; header=absent"),
        (pd.DataFrame(ROWS).to_csv(index=False).encode(), "text/csv"),
        (b"\n".join(orjson.dumps(row) for row in ROWS), "application/jsonlines"),
        (b"\r\n".join(orjson.dumps(list(row.values())) for row in ROWS) + b"\r\n\r\n", "application/jsonlines"),
        (b"".join(orjson.dumps({"features": list(row.values())}) + b"\n" for row in ROWS), "application/jsonlines"),
        ("\n".join(json.dumps(row).replace("null", "NaN") for row in ROWS).encode(), "application/jsonlines"),
    ],
)
def test_rows_as_text_are_those_of_json(client, predictions, body, kind):
    done = posted(client, body, kind)
    assert done.json() == {"predictions": predictions}
    assert done.headers["content-type"] == "application/json"
    assert done.headers["x-model-version"] == "1"


@pytest.mark.parametrize("accept", ["text/csv", "Text/CSV; q=1, application/json", "x/y, text/csv"])
def test_csv_is_answered_by_a_line_for_each_row(client, predictions, accept):
    done = posted(client, CSV, "text/csv", accept)
    assert done.headers["content-type"] == "text/csv"
    read = list(csv.reader(io.StringIO(done.text)))
    assert [float(line[0]) for line in read] == [one["score"] for one in predictions]
    assert [line[1] for line in read] == [str(one["prediction"]).lower() for one in predictions]


def test_lines_are_answered_by_lines(client, predictions):
    done = posted(client, CSV, "text/csv", "application/jsonlines")
    assert done.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line) for line in done.text.splitlines()] == predictions
    assert posted(client, CSV, "text/csv", "application/x-npy").headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "kind", "status", "why"),
    [
        (b"", "text/csv", 400, "there is no row to predict"),
        (b"courier,km,express\n", "text/csv", 400, "there is no row to predict"),
        (b"courier,km\nbob,1\n", "text/csv", 400, "features ['express'] are missing"),
        (b",courier,km,express\n0,bob,1,true\n", "text/csv", 400, "there are no features ['']"),
        (b"courier,km,km\nbob,1,2\n", "text/csv", 400, "the header must have each name once"),
        (b"courier,km,express\nbob,1\n", "text/csv", 400, "row 0 must have 3 values, for ['courier', 'km', 'express']"),
        (
            b"courier,km,express\nbob,far,true\n",
            "text/csv",
            400,
            "row 0, feature km: must be a number or empty, not 'far'",
        ),
        (b"courier,km,express\nbob,1_0,true\n", "text/csv", 400, "must be a number or empty, not '1_0'"),
        (b"courier,km,express\nbob,inf,true\n", "text/csv", 400, "hold infinite values"),
        (b"courier,km,express\nbob,1,2\n", "text/csv", 400, "row 0, feature express: must be true or false or empty"),
        (b"bob,1,true\n", "text/csv", 400, "row 0, feature km: must be a number or empty, not 'bob'"),
        (CSV, "text/csv; header=absent", 400, "must be a number or empty, not 'courier'"),
        (b'courier,km,express\n"bob,1,true\n', "text/csv", 400, "the body is no CSV in UTF-8"),
        (b"courier,km,express\n\xff,1,true\n", "text/csv", 400, "the body is no CSV in UTF-8"),
        (CSV, "text/csv; charset=latin-1", 415, "charset must be utf-8, not 'latin-1'"),
        (CSV + CSV * 3, "text/csv", 413, "16 lines are more than 5 rows and a header"),
        (b"1,true,bob\n" * 6, "text/csv", 413, "6 rows are more than 5"),
        (b'{"km": 1}\n{', "application/jsonlines", 400, "line 2: the body is no JSON"),
        (b"3\n", "application/jsonlines", 400, "row 0 must be an object"),
        (b"", "application/jsonlines", 400, "there is no row to predict"),
        (b'{"instances": []}', "application/xml", 415, "application/json or text/csv or application/jsonlines, not"),
    ],
)
def test_what_is_wrong_is_refused(client, body, kind, status, why):
    done = posted(client, body, kind, "text/csv")
    assert (done.status_code, why in done.json()["error"]) == (status, True), done.text
    assert done.headers["content-type"] == "application/json"


def test_content_types_are_read_in_any_case(client, predictions):
    body = orjson.dumps({"dataframe_records": ROWS})
    assert posted(client, body, "Application/JSON; Charset=utf-8").json()["predictions"] == predictions


def test_texts_are_logged_as_the_features_they_are(registry, noon, tmp_path):
    log = SpooledLog(tmp_path)
    app = make_app(registry, ["late"], Limits(), clock=lambda: noon, open_log=log.open)
    with TestClient(app) as client:
        posted(client, CSV, "text/csv")
    ((_, frame),) = log.frames()
    wanted = [tuple(row.values()) for row in ROWS]
    assert frame.select("feature_km", "feature_express", "feature_courier").rows() == wanted


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text() | st.just("NaN"), values | st.just('NaN "NaN" \\'), max_size=4), st.booleans())
def test_nan_reads_as_null_and_all_else_as_it_is(content, escaped):
    def without_nan(value):
        if isinstance(value, dict):
            return {name: without_nan(each) for name, each in value.items()}
        if isinstance(value, list):
            return [without_nan(each) for each in value]
        return None if value != value else value

    body = json.dumps(content, ensure_ascii=escaped).encode()
    assert read_json(body, nan=True) == without_nan(content)
