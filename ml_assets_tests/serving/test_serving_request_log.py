import json
import os
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import polars as pl
import pytest

from ml_assets.lake import Lake
from ml_assets.lake.commits import PositionMoved
from ml_assets.serving.declared import RequestField
from ml_assets.serving.log.draining import Drained, Draining, alone_with
from ml_assets.serving.log.request_log import DAY, FAR, Answered, LogSchema, log_frame
from ml_assets.serving.log.segments import find_segments
from ml_assets.serving.log.spool import Spool
from ml_assets.serving.spec import AnswerLogSpec
from ml_assets_tests.serving.spooled import Tables

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
        "complete_until": {"courier_history": 1_704_063_600_000_000, "weather": None},
    }  # fmt: skip
    return Answered(**one | other)


def test_an_answer_becomes_a_typed_row():
    (row,) = log_frame([answered()], {"3": SCHEMA}).to_dicts()
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    assert row == {
        "_day": "2024-01-01", "requested_at": midnight, "request_id": "a", "row": 0, "role": "champion",
        "model_version": "3", "latency_ms": 2.5, "score": 0.75, "prediction": True, "given_parcel": 7,
        "given_sent_at": midnight, "feature_km": 12.0, "feature_express": True, "feature_courier": None,
        "versions": '{"courier_history":["b1",4]}', "states": '{"courier_history":"fresh"}',
        "replayed": False,
        "api_key": None,
        "complete_until": '{"courier_history":"2023-12-31T23:00:00+00:00","weather":null}',
    }  # fmt: skip


def test_a_log_of_before_goes_on_with_moments_of_completeness(tmp_path):
    """Lines that were spooled, and a table that was written, by servers that did not log them."""
    line = orjson.loads(orjson.dumps(answered()))
    del line["complete_until"]
    before = log_frame([Answered(**line)], {"3": SCHEMA})
    assert before["complete_until"].to_list() == [None]
    lake = Lake(str(tmp_path))
    lake.append("late/request_log", before.drop("complete_until"), ["_day"])
    lake.append("late/request_log", log_frame([answered(request_id="b")], {"3": SCHEMA}), ["_day"])
    log = lake.scan("late/request_log").sort("request_id").collect()
    assert log["complete_until"].is_null().to_list() == [True, False]


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


WINDOWED = AnswerLogSpec(mode="windowed", window_seconds=60)


@pytest.fixture
def tables():
    return Tables()


@pytest.fixture
def spool(tmp_path):
    """Opens spools in one folder."""
    opened = []

    def open_spool(spec=None, **how):
        specs = dict.fromkeys(("late", "hours"), spec or AnswerLogSpec())
        opened.append(Spool(tmp_path, lambda *_: SCHEMA, specs, **how))
        return opened[-1]

    yield open_spool
    for each in opened:
        if not each._closing.is_set():
            each.close()


def read(segment):
    return segment.path.read_bytes()


def spooled(folder):
    return b"".join(map(read, find_segments(folder)))


def ids(frame):
    return frame["request_id"].to_list()


def test_dates_and_moments_are_read_from_text():
    schema = LogSchema(given={"day": pl.Date(), "at": pl.Datetime("us", "UTC")}, features={}, answer={})
    frame = log_frame([answered(given={"day": "2024-02-29", "at": "2024-02-29T23:00:00-02:00"})], {"3": schema})
    assert frame["given_day"].to_list() == [date(2024, 2, 29)]
    assert frame["given_at"].to_list() == [datetime(2024, 3, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), FAR),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), FAR),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01"),
        (datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC), "2099-12-31"),
        (datetime(2100, 1, 1, tzinfo=UTC), FAR),
        (datetime(9999, 12, 31, tzinfo=UTC), FAR),
    ],
)
def test_moments_far_from_any_real_one_share_a_partition(moment, day):
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    frame = log_frame([answered(requested_at=(since.days * 86_400 + since.seconds) * 1_000_000)], {"3": SCHEMA})
    assert frame[DAY].to_list() == [day]
    assert frame["requested_at"].to_list() == [moment]


def test_a_durable_answer_is_in_a_file_when_put_returns_a_windowed_one_later(tmp_path, spool):
    spool().put("late", [answered("written")])
    assert b'"request_id":"written"' in spooled(tmp_path)
    windowed = spool(WINDOWED)
    windowed.put("late", [answered("waits")])
    assert b"waits" not in spooled(tmp_path)
    windowed.close()
    assert b'"request_id":"waits"' in spooled(tmp_path)
    assert (windowed.written, windowed.dropped) == (1, 0)


def test_a_windowed_answer_is_written_within_the_window(tmp_path, spool):
    spool(AnswerLogSpec(mode="windowed", window_seconds=0.02, sync_seconds=0.02)).put("late", [answered("a")])
    until = time.monotonic() + 30
    while b'"request_id":"a"' not in spooled(tmp_path):
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("mode", ["durable", "windowed"])
def test_what_is_written_is_forced_onto_the_disk_where_that_is_declared(tmp_path, spool, monkeypatch, mode):
    forced = []
    monkeypatch.setattr("ml_assets.serving.log.spool.os.fsync", lambda file: forced.append(os.fstat(file).st_ino))
    plain = spool(AnswerLogSpec(mode=mode, window_seconds=0.01), segment_bytes=500)
    synced = spool(AnswerLogSpec(mode=mode, window_seconds=0.01, sync_seconds=0.01), segment_bytes=500)
    plain.put("late", [answered("a")])
    for number in range(3):
        synced.put("late", [answered(str(number))])
    for each in (plain, synced):
        each.close()
    holding = [segment.path.stat().st_ino for segment in find_segments(tmp_path) if b'"a"' not in read(segment)]
    assert holding != []
    assert {*forced} == {*holding}


def test_what_is_spooled_becomes_the_rows_that_the_answers_are(tmp_path, spool, tables):
    late = [answered("a"), answered("b", 1, features={"km": None, "express": None, "courier": "zoë\n"}, replayed=True)]
    writer = spool()
    writer.put("late", late)
    writer.put("hours", [answered("c", model="hours")])
    assert Draining(tmp_path, tables).drain() == Drained(rows=3)
    assert tables.frames["late/request_log"][0].equals(log_frame(late, {"3": SCHEMA}))
    assert tables.requests("hours/request_log") == ["c"]


@pytest.mark.parametrize("chunk", [1_000, 8 << 20])
def test_segments_are_read_in_order_on_and_on_and_deleted_once_they_are_done(tmp_path, spool, tables, chunk):
    writer = spool(segment_bytes=1_000)
    draining = Draining(tmp_path, tables, chunk=chunk)
    for number in range(30):
        writer.put("late", [answered(str(number))])
        if number % 4 == 0:
            draining.drain()
    assert draining.drain().more is False
    assert tables.requests() == [str(number) for number in range(30)]
    assert len(find_segments(tmp_path)) == 1, "the one that its writer may add to"
    writer.close()
    assert draining.drain() == Drained()
    assert find_segments(tmp_path) == []


def test_an_aged_segment_is_sealed_without_a_new_answer(tmp_path, spool, tables):
    spool(segment_seconds=0.01).put("late", [answered()])
    draining, until = Draining(tmp_path, tables), time.monotonic() + 30
    while find_segments(tmp_path):
        assert time.monotonic() < until
        draining.drain()
        time.sleep(0.01)
    assert tables.requests() == ["a"]


class Killed(BaseException):
    """The end of a process in the middle of something."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("closed", [True, False])
def test_an_end_around_a_commit_neither_loses_nor_doubles(tmp_path, when, closed, monkeypatch):
    folder, lake = tmp_path / "more", Lake(str(tmp_path / "lake"))
    writers = [Spool(folder, lambda *_: SCHEMA, segment_bytes=1_500) for _ in range(2)]
    for number in range(20):
        writers[number % 2].put("late", [answered(str(number))])
    if closed:
        writers[0].close()

    append = Lake.append

    def killed(self, *arguments):
        if when == "after":
            append(self, *arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Lake, "append", killed)
        draining = Draining(folder, lake)
        with pytest.raises(Killed):
            draining.drain()
    for number in range(20, 24):
        writers[1].put("late", [answered(str(number))])
    assert Draining(folder, lake).drain().rows == (4 if when == "after" else 24)
    assert sorted(ids(lake.scan("late/request_log").collect()), key=int) == [str(number) for number in range(24)]
    for writer in writers[closed:]:
        writer.close()


def test_two_readers_of_one_spool_cannot_both_append(tmp_path):
    lake = Lake(str(tmp_path / "lake"))
    writer = Spool(tmp_path / "spool", lambda *_: SCHEMA)
    writer.put("late", [answered("a")])
    one, other = (Draining(tmp_path / "spool", lake) for _ in range(2))
    assert (one.drain().rows, other.drain().rows) == (1, 0)
    writer.put("late", [answered("b")])
    assert other.drain().rows == 1
    assert one.drain() == Drained(failed=["late"]), "it looks anew at where the table is"
    assert one.drain() == Drained()
    assert sorted(ids(lake.scan("late/request_log").collect())) == ["a", "b"]
    with alone_with(tmp_path / "spool") as first, alone_with(tmp_path / "spool") as second:
        assert (first, second) == (True, False)
    writer.close()


def test_an_append_moves_its_source_or_nothing(tmp_path):
    lake, frame = Lake(str(tmp_path)), pl.DataFrame({"a": [1]})
    assert lake.position("log", "w") is None
    lake.append("log", frame, moves={"w": (None, 5), "v": (None, 1)})
    lake.append("log", frame, moves={"w": (5, 9)})
    with pytest.raises(PositionMoved, match="w is at 9, not at 5"):
        lake.append("log", frame, moves={"w": (5, 9)})
    lake.append("log", frame)
    lake.compact("log")
    assert (lake.position("log", "w"), lake.position("log", "v")) == (9, 1)
    assert lake.scan("log").collect().height == 3


def test_a_table_that_takes_nothing_holds_up_its_own_model_alone(tmp_path, spool, tables, caplog):
    writer = spool()
    writer.put("late", [answered("a")])
    tables.refusing = True
    draining = Draining(tmp_path, tables)
    assert draining.drain() == Drained(failed=["late"])
    assert "the lake is out of reach" in caplog.text
    writer.put("late", [answered("b")])
    tables.refusing = False
    assert draining.drain() == Drained(rows=2)
    assert tables.requests() == ["a", "b"]


def test_an_answer_that_fits_no_column_is_set_apart_and_the_others_are_kept(tmp_path, spool, tables, caplog):
    writer = spool()
    for number in range(5):
        writer.put("late", [answered(str(number), features={"km": "far"} if number == 2 else {"km": number})])
    draining = Draining(tmp_path, tables)
    assert draining.drain() == Drained(rows=4, refused=1)
    writer.put("late", [answered("5", features={"km": "further"})])
    assert draining.drain() == Drained(refused=1)
    assert tables.requests() == ["0", "1", "3", "4"]
    apart = sorted((tmp_path / "late").glob("*.refused"))
    assert [json.loads(file.read_text())["request_id"] for file in apart] == ["2", "5"]
    assert "request 2, row 0, does not fit" in caplog.text


def test_a_line_that_was_cut_off_was_no_answer_and_one_that_is_none_is_set_apart(tmp_path, spool, tables, caplog):
    writer = spool()
    writer.put("late", [answered("a")])
    writer.close()
    (segment,) = find_segments(tmp_path)
    with segment.path.open("ab") as file:
        file.write(b'{"request_id":"b"}\n{"request_id":"c","ro')
    assert Draining(tmp_path, tables).drain() == Drained(rows=1, refused=1)
    assert "21 bytes are no answer" in caplog.text
    assert find_segments(tmp_path) == []


def test_days_beyond_the_most_that_a_log_may_have_share_a_partition(tmp_path, spool, tables, caplog):
    writer, draining = spool(), Draining(tmp_path, tables, most_days=3)
    for days in ([0, 1], [1, 2, 3, 4], [0, 5]):
        writer.put("late", [answered(str(day), requested_at=NEW_YEAR + day * 86_400_000_000) for day in days])
        draining.drain()
    kept = [frame.sort("request_id")[DAY].to_list() for frame in tables.frames["late/request_log"]]
    assert kept == [["2024-01-01", "2024-01-02"], ["2024-01-02", "2024-01-03", FAR, FAR], ["2024-01-01", FAR]]
    assert "2 answers about moments far away" in caplog.text
    writer.put("late", [answered("6", requested_at=NEW_YEAR + 6 * 86_400_000_000)])
    assert Draining(tmp_path, tables, most_days=3).drain() == Drained(rows=1, far=1)


class FullDisk:
    """Stands for `os.write`: takes so many bytes."""

    def __init__(self, room):
        self.room = room
        self.write = os.write

    def __call__(self, descriptor, content):
        if not self.room:
            raise OSError(28, "No space left on device")
        done = self.write(descriptor, bytes(content[: self.room]))
        self.room -= done
        return done


@pytest.mark.parametrize("room", [0, 1, 700, 1_000, 1_500])
def test_what_a_full_disk_does_not_take_waits_and_is_written_once_there_is_room(
    tmp_path, spool, tables, monkeypatch, caplog, room
):
    writer = spool(segment_seconds=600)
    writer.put("late", [answered("0")])
    disk = FullDisk(room)
    monkeypatch.setattr("ml_assets.serving.log.spool.os.write", disk)
    for number in range(1, 6):
        writer.put("late", [answered(str(number))])
    assert "cannot be written: No space left on device: make room on its disk: `df -h`" in writer.fault
    assert caplog.text.count("No space left on device") == 1, "said once"
    draining = Draining(tmp_path, tables)
    draining.drain()
    disk.room = 1 << 20
    writer.put("late", [answered("6")])
    assert writer.fault == ""
    assert "that waited are written" in caplog.text
    draining.drain()
    assert tables.requests() == [str(number) for number in range(7)]
    assert (writer.written, writer.dropped) == (7, 0)


@pytest.mark.parametrize(("code", "remedy"), [(28, "`df -i` its inodes"), (30, "mount it"), (13, "the rights")])
def test_answers_wait_where_no_segment_can_be_made_and_are_written_once_one_can(
    tmp_path, spool, tables, monkeypatch, caplog, code, remedy
):
    make, refused = os.open, []

    def refuse_file(path, flags, *more, **named):
        if flags & os.O_CREAT and str(path).endswith(".new"):
            refused.append(path)
            raise OSError(code, os.strerror(code), path)
        return make(path, flags, *more, **named)

    writer = spool()
    with monkeypatch.context() as disk:
        disk.setattr("ml_assets.serving.log.segments.os.open", refuse_file)
        for number in range(3):
            writer.put("late", [answered(str(number))])
        assert (writer.written, writer.dropped, len(refused) >= 3) == (0, 0, True)
        assert (f"{tmp_path} cannot be written: {os.strerror(code)}: " in writer.fault, remedy in writer.fault) == (
            True,
            True,
        )
        assert caplog.text.count("cannot be written") == 1, "said once"
    writer.put("late", [answered("3")])
    Draining(tmp_path, tables).drain()
    assert tables.requests() == ["0", "1", "2", "3"]
    assert (writer.fault, writer.written, writer.dropped) == ("", 4, 0)


def test_what_there_is_no_room_for_is_lost_aloud(spool, monkeypatch, caplog):
    writer = spool(held_bytes=1_000)
    monkeypatch.setattr("ml_assets.serving.log.spool.os.write", FullDisk(0))
    monkeypatch.setattr("ml_assets.serving.log.segments.os.write", FullDisk(0))
    for number in range(9):
        writer.put("late", [answered(str(number))])
    held = 9 - writer.dropped
    assert 0 < held < 9
    assert "no room to wait: 1 answers lost" in caplog.text
    writer.close()
    assert (writer.written, writer.dropped) == (0, 9)
    assert f"{held} answers are lost" in caplog.text


def test_a_segment_that_is_deleted_under_its_writer_is_noticed(tmp_path, spool, tables, caplog):
    writer = spool()
    writer.put("late", [answered("a")])
    find_segments(tmp_path)[0].path.unlink()
    writer.put("late", [answered("b")])
    assert "a segment was deleted" in caplog.text
    Draining(tmp_path, tables).drain()
    assert tables.requests() == ["b"]


def test_a_value_that_no_line_holds_costs_its_own_row_alone(tmp_path, spool, tables, caplog):
    writer = spool()
    writer.put("late", [answered("a"), answered("b", features={"km": object()}), answered("c")])
    Draining(tmp_path, tables).drain()
    assert tables.requests() == ["a", "c"]
    assert (writer.written, writer.dropped) == (2, 1)
    assert "request b, row 0, is dropped" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "kills"), [("durable", 20), ("windowed", 5)])
def test_killed_processes_lose_nothing_that_was_answered_or_the_window_at_most(tmp_path, mode, kills):
    window, busy = 0.1, 0.4  # a thread of a busy machine comes late
    arguments = [sys.executable, str(WRITER), str(tmp_path), mode, str(window), str(kills)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(killed) == kills
    lake = Lake(str(tmp_path / "lake"))
    Draining(tmp_path / "spool", lake).drain()
    kept = lake.scan("late/request_log").collect()["request_id"]
    most = float("-inf") if mode == "durable" else window + busy
    sent = {number for each in killed for number, at in each["sent"].items() if each["killed"] - at > most}
    assert sum(len(each["sent"]) for each in killed) > 50 * kills
    assert sent - {*kept} == set()
    assert kept.n_unique() == len(kept), "each once, whatever the process was killed in that drained them"
    assert find_segments(tmp_path / "spool") == []
