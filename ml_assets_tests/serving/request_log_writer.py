"""Processes that answer and drain until they are killed: `request_log_writer.py FOLDER MODE WINDOW KILLS`.

Each that answers says of an answer that it is sent once the spool has taken it; what it has said is printed, a number
and a moment a line, and before the lines of each `killed` and the moment of its end.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import polars as pl

from ml_assets.lake import Lake
from ml_assets.serving.log.draining import Draining, alone_with
from ml_assets.serving.log.request_log import Answered, LogSchema
from ml_assets.serving.log.spool import Spool
from ml_assets.serving.spec import AnswerLogSpec

folder, mode, window, kills = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
SCHEMA = LogSchema(given={}, features={"km": pl.Float64()}, answer={"score": pl.Float64()})


def answer(first: int, sent: int) -> None:
    spec = AnswerLogSpec.model_validate({"mode": mode, "window_seconds": window})
    spool = Spool(folder / "spool", lambda *_: SCHEMA, {"late": spec}, segment_bytes=20_000)
    for number in range(first, first + 1_000_000):
        one = Answered(str(number), 0, "late", "1", "champion", number, 0.001, {}, {"km": 1.0}, {"score": 0.5}, {}, {})
        spool.put("late", [one])
        os.write(sent, b"%d %f\n" % (number, time.time()))
        time.sleep(0.0005)


def drain() -> None:
    draining = Draining(folder / "spool", Lake(str(folder / "lake")))
    with alone_with(folder / "spool") as alone:
        assert alone, "the one before was killed"
        while True:
            draining.drain()
            time.sleep(0.01)


def forked(work, *arguments) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(*arguments)
        finally:
            os._exit(1)
    return pid


(folder / "spool").mkdir()
draw = random.Random(7)
for attempt in range(kills):
    reading, writing = os.pipe()
    pids = [forked(answer, attempt * 1_000_000, writing), forked(drain)]
    os.close(writing)
    lines = b""
    until = time.monotonic() + draw.uniform(0.1, 0.4)
    while time.monotonic() < until or len(lines) < 1_000:
        lines += os.read(reading, 65536)
    killed = time.time()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    while more := os.read(reading, 65536):
        lines += more
    os.close(reading)
    told = [line.split() for line in lines.decode().splitlines(keepends=True) if line.endswith("\n")]
    print(json.dumps({"killed": killed, "sent": {number: float(at) for number, at in told}}))  # noqa: T201
