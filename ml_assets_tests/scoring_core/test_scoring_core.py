"""The core that training, server and hand-over packages share: it stands alone, and agrees with frames."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ml_assets.scoring_core
from ml_assets.scoring_core.rows import InvalidRows, RowEncoder
from ml_assets.training.encoding import Encoding

FOLDER = Path(ml_assets.scoring_core.__file__).parent

LOAD_ALONE = """
import importlib, pkgutil, sys, numpy
before = set(sys.modules)
import scoring_core
for each in pkgutil.iter_modules(scoring_core.__path__, "scoring_core."):
    importlib.import_module(each.name)
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""


def test_a_copy_of_the_core_needs_numpy_alone(tmp_path):
    shutil.copytree(FOLDER, tmp_path / "scoring_core")
    done = subprocess.run(
        [sys.executable, "-B", "-c", LOAD_ALONE], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "['scoring_core']"


def test_rows_columns_and_frames_are_encoded_to_the_same_bits():
    random = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "km": [None if random.random() < 0.1 else float(value) for value in random.normal(0, 1e3, 300)],
            "count": random.integers(-(2**40), 2**40, 300),
            "express": [None if random.random() < 0.1 else bool(value) for value in random.integers(0, 2, 300)],
            "courier": random.choice(["ann", "bob", "cleo", "zoe"], 300),
        }
    )
    encoding = Encoding.learn(frame.filter(pl.col("courier") != "zoe"), frame.columns)
    encoder, wanted = RowEncoder(encoding.features), encoding.encode(frame).tobytes()
    assert encoder.encode_rows(frame.to_dicts()).tobytes() == wanted
    assert encoder.encode_columns(frame.to_dict(as_series=False)).tobytes() == wanted


def test_frames_and_rows_name_the_feature_that_is_infinite():
    encoding = Encoding.learn(pl.DataFrame({"km": [1.0, 2.0], "express": [True, False]}), ["km", "express"])
    row = {"km": 1e39, "express": True}
    with pytest.raises(InvalidRows, match=r"features \['km'\] hold infinite values"):
        RowEncoder(encoding.features).encode_rows([row])
    with pytest.raises(ValueError, match=r"features \['km'\] hold infinite values"):
        encoding.encode(pl.DataFrame([row]))
