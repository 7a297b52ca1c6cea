"""A process that only scores imports XGBoost without scikit-learn and pandas, and gets the same scores."""

import json
import subprocess
import sys

import numpy as np
import xgboost as xgb

SCRIPT = """
import json, sys
from ml_assets.training.kinds.base import find_kind

find_kind("xgboost").import_to_score()
import numpy as np, xgboost as xgb

booster = xgb.Booster(model_file=sys.argv[1])
rows = xgb.DMatrix(np.load(sys.argv[2]))
loaded = [name for name in ("sklearn", "pandas") if name in sys.modules]
scores = [booster.predict(rows).tolist(), booster.predict(rows, pred_contribs=True).tolist()]
from sklearn.linear_model import LogisticRegression  # which other kinds still find

print(json.dumps([loaded, scores, LogisticRegression.__name__]))
"""


def test_the_library_is_imported_without_what_scoring_does_not_need(tmp_path):
    random = np.random.default_rng(0)
    matrix = random.normal(size=(60, 3)).astype(np.float32)
    rows = xgb.DMatrix(matrix, label=matrix[:, 0] > 0.2)
    booster = xgb.train({"objective": "binary:logistic", "max_depth": 3}, rows, 5)
    booster.save_model(tmp_path / "model.ubj")
    np.save(tmp_path / "rows.npy", matrix)
    given = [sys.executable, "-c", SCRIPT, tmp_path / "model.ubj", tmp_path / "rows.npy"]
    loaded, scores, other = json.loads(subprocess.run(given, check=True, capture_output=True, text=True).stdout)
    assert loaded == []
    assert scores == [booster.predict(rows).tolist(), booster.predict(rows, pred_contribs=True).tolist()]
    assert other == "LogisticRegression"


COMMAND = """
import sys
from ml_assets.training.kinds.lean import claim_process, import_for

import_for(["xgboost"])
assert "xgboost" not in sys.modules, "nobody has said that the process is the platform's own"
claim_process("this test")
import_for(["xgboost", "sklearn:xgboost.XGBRegressor"])
assert "xgboost" not in sys.modules, "one that may need estimators of scikit-learn's form is among them"
import_for(["xgboost"])
import numpy as np, polars as pl, xgboost as xgb

from ml_assets.monitoring.chunks import CHUNK
from ml_assets.monitoring.performance.estimators import ESTIMATORS
from ml_assets.monitoring.performance.estimators.estimator import EstimateRequest
from ml_assets.training.kinds.base import find_kind
from ml_assets.training.metrics.concordance import concordance
from ml_assets.training.tasks.columns import ScoredColumns

values = np.arange(60.0)
booster = xgb.train({}, xgb.DMatrix(values[:, None], label=values), 2)
rows = pl.DataFrame({CHUNK: [0] * 60, "x": values, "prediction": values, "label": values + values % 7})
request = EstimateRequest(ScoredColumns("label", "prediction", "prediction", ()), ["x"], {"mae": "mae"}, 0)
ESTIMATORS.get("loss").estimate(rows, rows, request)
concordance(values, values)
loaded = [name for name in ("sklearn", "scipy.stats", "nannyml") if name in sys.modules]
assert loaded == [], loaded
find_kind("sklearn:lightgbm.LGBMRegressor").estimator_class()(n_estimators=2).get_params()
estimator = find_kind("sklearn:xgboost.XGBRegressor").estimator_class()(n_estimators=2, n_jobs=1)
assert len(estimator.fit(values[:, None], values).predict(values[:2, None])) == 2
assert isinstance(booster, xgb.Booster)
"""


def test_a_command_imports_libraries_of_trees_alone_and_the_rest_once_a_model_needs_it():
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", COMMAND], check=True, timeout=120)
