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
