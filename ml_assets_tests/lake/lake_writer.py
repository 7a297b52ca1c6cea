"""A process that writes into a lake: `lake_writer.py ROOT KEY NAME ROUNDS ROWS PARTITIONS GO`.

It writes ROUNDS times ROWS rows of its own NAME into each of the comma-separated partitions, beginning when the
file GO appears, and tells on standard output that it is ready.
"""

import sys
import time
from pathlib import Path

import deltalake  # noqa: F401 - imported now, so that all writers begin at the same moment
import polars as pl

from ml_assets.lake import Lake

root, key, name, rounds, rows, partitions, go = sys.argv[1:]
names = partitions.split(",")
one = pl.int_range(int(rows), eager=True).alias("row").to_frame()
frames = [
    one.with_columns(
        pl.lit(partition).alias("month"),
        pl.lit(name).alias("writer"),
        *((pl.col("row") * (n + 1)).sin().alias(f"noise_{n}") for n in range(4)),
    )
    for partition in names
]
print("ready", flush=True)  # noqa: T201
while not Path(go).exists():
    time.sleep(0.001)
for turn in range(int(rounds)):
    Lake(root).replace(key, pl.concat(frames).with_columns(turn=pl.lit(turn, pl.Int64)), {"month": names})
