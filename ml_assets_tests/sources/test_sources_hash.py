import hashlib
import struct
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from ml_assets.sources.content_hash import content_hash

FRAME = pl.DataFrame(
    {"a": [1, None, 3], "b": ["x", "", None], "c": [0.5, 2.0, None], "d": [True, None, False]},
    schema={"a": pl.Int64, "b": pl.String, "c": pl.Float64, "d": pl.Boolean},
)


def test_hash_is_the_documented_bytes():
    frame = pl.DataFrame({"n": [7, None, -1], "t": ["é", "", "ab"]}, schema={"n": pl.Int64, "t": pl.String})
    by_hand = hashlib.sha256()
    by_hand.update(b"'n':integer:3:1;" + bytes([0b01000000]) + struct.pack("<3q", 7, 0, -1))
    by_hand.update(b"'t':text:3:0;" + struct.pack("<3q", 2, 0, 2) + "éab".encode())
    assert content_hash(frame) == by_hand.hexdigest()


def test_another_process_gets_the_same_hash():
    code = (
        "import polars as pl; from ml_assets.sources.content_hash import content_hash;"
        "print(content_hash(pl.DataFrame({'n': [1, None], 't': ['x', None]})))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == content_hash(pl.DataFrame({"n": [1, None], "t": ["x", None]}))


@pytest.mark.parametrize(
    "changed",
    [
        FRAME.with_columns(a=pl.Series([1, 0, 3])),
        FRAME.with_columns(a=pl.Series([1, 3, None])),
        FRAME.with_columns(b=pl.Series(["", "x", None])),
        FRAME.with_columns(b=pl.Series(["x", None, ""])),
        FRAME.with_columns(c=pl.Series([0.5, 2.0000000000000004, None])),
        FRAME.with_columns(d=pl.Series([True, None, None])),
        FRAME.reverse(),
        FRAME.head(2),
        pl.concat([FRAME, FRAME.head(1)]),
        FRAME.select("b", "a", "c", "d"),
        FRAME.rename({"a": "e"}),
        FRAME.with_columns(a=pl.col("a").cast(pl.Float64)),
        FRAME.with_columns(a=pl.col("a").cast(pl.String)),
    ],
)
def test_hash_sees_every_change(changed):
    assert content_hash(changed) != content_hash(FRAME)


def test_text_boundaries_count():
    assert content_hash(pl.DataFrame({"a": ["ab", "c"]})) != content_hash(pl.DataFrame({"a": ["a", "bc"]}))


def test_hash_sees_values_not_how_they_are_stored():
    small = FRAME.with_columns(pl.col("a").cast(pl.Int8))
    chunked = pl.concat([FRAME.head(1), FRAME.slice(1)], rechunk=False)
    sliced = pl.concat([FRAME.tail(1), FRAME]).slice(1)
    assert {content_hash(frame) for frame in (FRAME, small, chunked, sliced)} == {content_hash(FRAME)}


def test_moments_are_hashed_as_moments():
    utc = pl.DataFrame({"t": pl.Series([0, 1_700_000_000_000_000]).cast(pl.Datetime("us", "UTC"))})
    elsewhere = utc.with_columns(pl.col("t").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns"))
    assert content_hash(elsewhere) == content_hash(utc)
    assert content_hash(utc.select(pl.col("t").dt.offset_by("1us"))) != content_hash(utc)


def test_no_two_of_many_random_frames_collide():
    rng = np.random.default_rng(5)
    frames = [pl.DataFrame({"a": rng.integers(0, 2, 6), "b": rng.integers(0, 2, 6).astype(str)}) for _ in range(300)]
    contents = {tuple(frame.rows()) for frame in frames}
    assert len({content_hash(frame) for frame in frames}) == len(contents)
