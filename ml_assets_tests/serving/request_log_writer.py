"""A process that answers and logs until it is killed: `request_log_writer.py LAKE WINDOW`.

It prints the number of each answer and the moment it was taken by the log, both on one line.
"""

import sys
import time

import polars as pl

from ml_assets.lake import Lake
from ml_assets.serving.log.request_log import DAY, Answered, LogSchema, RequestLog

root, window = sys.argv[1:]
lake = Lake(root)
schema = LogSchema(given={}, features={"km": pl.Float64()}, answer={"score": pl.Float64()})
log = RequestLog(lambda key, frame: lake.append(key, frame, [DAY]), lambda *_: schema, window=float(window))
for number in range(1_000_000):
    answer = {"score": 0.5}
    log.put(Answered(str(number), 0, "late", "1", "champion", number, 0.001, {}, {"km": 1.0}, answer, {}, {}))
    print(number, time.time(), flush=True)  # noqa: T201
    time.sleep(0.002)
