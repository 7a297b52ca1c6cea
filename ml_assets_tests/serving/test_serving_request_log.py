import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.serving.declared import RequestField
from ml_assets.serving.log.request_log import DAY, Answered, LogSchema, RequestLog, log_frame

WRITER = Path(__file__).parent / "request_log_writer.py"
SCHEMA = LogSchema(
    given={"parcel": pl.Int64(), "sent_at": pl.Datetime("us", "UTC")},
    features={"km": pl.Float64(), "express": pl.Boolean(), "courier": pl.String()},
    answer={"score": pl.Float64(), "prediction": pl.Boolean()},
)
NEW_YEAR = 1_704_067_200_000_000  # 2024-01-01 UTC


def answered(request="a", row=0, **other):
    one = {
        "request_id": request, "row": row, "model": "late", "version": "3", "role": "champion",
        "requested_at": NEW_YEAR, "latency": 0.0025,
        "given": {"parcel": 7, "sent_at": "2024-01-01T01:00:00+01:00"},
        "features": {"km": 12, "express": True, "courier": None},
        "answer": {"score": 0.75, "prediction": True},
        "versions": {"courier_history": ("b1", 4)}, "states": {"courier_history": "fresh"},
    }  # fmt: skip
    return Answered(**one | other)


class Table:
    """Takes appended frames; refuses as long as it is told to."""

    def __init__(self):
        self.frames: dict[str, list[pl.DataFrame]] = {}
        self.refusing = False
        self.asked = threading.Event()

    def append(self, key, frame):
        self.asked.set()
        if self.refusing:
            raise OSError("the lake is out of reach")
        self.frames.setdefault(key, []).append(frame)

    def requests(self, key="late/request_log"):
        return [name for frame in self.frames.get(key, []) for name in frame["request_id"]]


@pytest.fixture
def table():
    return Table()


def make_log(table, **how):
    return RequestLog(table.append, lambda *_: SCHEMA, **{"window": 0.01} | how)


def test_an_answer_becomes_a_typed_row():
    (row,) = log_frame([answered()], {"3": SCHEMA}).to_dicts()
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    assert row == {
        "_day": "2024-01-01", "requested_at": midnight, "request_id": "a", "row": 0, "role": "champion",
        "model_version": "3", "latency_ms": 2.5, "score": 0.75, "prediction": True, "given_parcel": 7,
        "given_sent_at": midnight, "feature_km": 12.0, "feature_express": True, "feature_courier": None,
        "versions": '{"courier_history":["b1",4]}', "states": '{"courier_history":"fresh"}',
    }  # fmt: skip


def test_types_do_not_depend_on_values():
    empty = answered(given={}, features=dict.fromkeys(SCHEMA.features), versions={}, states={})
    assert log_frame([empty], {"3": SCHEMA}).schema == log_frame([answered()], {"3": SCHEMA}).schema


def test_versions_with_other_features_share_a_frame():
    newer = LogSchema(given={}, features={"km": pl.Float64(), "stops": pl.Float64()}, answer=SCHEMA.answer)
    rows = [answered("a"), answered("b", version="4", features={"km": 1.5, "stops": 2})]
    frame = log_frame(rows, {"3": SCHEMA, "4": newer})
    assert frame["feature_stops"].to_list() == [None, 2.0]
    assert frame["feature_courier"].to_list() == [None, None]
    assert frame["model_version"].to_list() == ["3", "4"]


@pytest.mark.parametrize("name", ["late", "hours", "mood"])
def test_types_of_a_fitted_model_hold_what_it_answers(models, name):
    from ml_assets.scoring.predictor import Predictor

    model = models[name]
    fields = [RequestField(name="parcel", kind="integer", dtype="Int32")]
    schema = LogSchema.of(model, fields)
    assert schema.given == {"parcel": pl.Int64()}
    assert schema.features == {"km": pl.Float64(), "express": pl.Boolean(), "courier": pl.String()}
    predictor = Predictor(model)
    features = {"km": 12, "express": None, "courier": "bob"}
    answer = {name: values[0] for name, values in predictor.predict(predictor.encode_rows([features])).items()}
    frame = log_frame([answered(features=features, answer=answer)], {"3": schema})
    assert frame.select(answer.keys()).row(0, named=True) == answer


def test_closing_writes_the_rest_one_append_a_model(table):
    log = make_log(table, window=60)
    for number in range(5):
        assert log.put(answered(str(number), model="late" if number % 2 else "hours"))
    log.close()
    assert table.requests("late/request_log") == ["1", "3"]
    assert table.requests("hours/request_log") == ["0", "2", "4"]
    assert [len(frames) for frames in table.frames.values()] == [1, 1]
    assert (log.written, log.dropped) == (5, 0)
    assert log.put(answered("late")) is False


def test_answers_are_written_while_the_server_goes_on(table):
    log = make_log(table)
    log.put(answered("first"))
    assert table.asked.wait(10)
    log.put(answered("second"))
    log.close()
    assert table.requests() == ["first", "second"]
    assert len(table.frames["late/request_log"]) == 2


def test_a_full_log_drops_and_counts(table):
    log = make_log(table, window=60, capacity=3)
    assert [log.put(answered(str(number))) for number in range(5)] == [True, True, True, False, False]
    assert log.dropped == 2
    log.close()
    assert table.requests() == ["0", "1", "2"]
    assert (log.written, log.dropped) == (3, 2)


def test_a_failed_append_is_tried_again_with_what_came_in_since(table, caplog):
    table.refusing = True
    log = make_log(table, capacity=3)
    log.put(answered("0"))
    assert table.asked.wait(10)
    for number in range(1, 5):
        log.put(answered(str(number)))
    assert log.dropped == 2  # what waits counts against the capacity
    table.refusing = False
    log.close()
    assert "late/request_log: append failed, 1 answers wait for another try" in caplog.text
    assert "the lake is out of reach" in caplog.text
    assert table.requests() == ["0", "1", "2"]
    assert "appends again, 3 answers that waited are written" in caplog.text


def test_what_the_lake_never_takes_is_lost_aloud(table, caplog):
    table.refusing = True
    log = make_log(table)
    log.put(answered())
    log.close()
    assert (log.written, log.dropped) == (0, 1)
    assert "late/request_log: 1 answers are lost" in caplog.text


def test_a_value_of_another_type_costs_its_own_row_alone(table, caplog):
    log = make_log(table, window=60)
    for number in range(5):
        features = {"km": "far"} if number == 2 else {"km": number}
        log.put(answered(str(number), features=features))
    log.close()
    assert table.requests() == ["0", "1", "3", "4"]
    assert (log.written, log.dropped) == (4, 1)
    assert "request 2, row 0, is dropped" in caplog.text


def test_a_killed_process_loses_the_last_window_at_most(tmp_path):
    window, appending = 0.5, 1.5  # an append takes its time, too, on a busy machine
    arguments = [sys.executable, str(WRITER), str(tmp_path), str(window)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        while not lines or float(lines[-1].split()[1]) < float(lines[0].split()[1]) + 4:
            lines.append(process.stdout.readline())
        killed = time.time()
        process.kill()
        lines += process.stdout.readlines()
    taken = dict(line.split() for line in lines if line.endswith("\n"))
    safe = {number for number, moment in taken.items() if float(moment) < killed - window - appending}
    kept = Lake(str(tmp_path)).scan("late/request_log").collect()
    assert len(safe) > 100
    assert safe - set(kept["request_id"]) == set()
    assert kept["request_id"].n_unique() == kept.height
    assert set(kept[DAY]) == {"1970-01-01"}
