"""A BentoML service; `BOOSTER` in the environment names the model's file."""

import os

import bentoml
import numpy as np


@bentoml.service(workers=1)
class Scores:
    def __init__(self):
        import xgboost as xgb

        self.booster = xgb.Booster(model_file=os.environ["BOOSTER"])
        self.booster.set_param({"nthread": 1})

    @bentoml.api
    def predict(self, row: dict[str, float]) -> float:
        values = [row[f"x{number}"] for number in range(30)]
        return float(self.booster.inplace_predict(np.array([values], dtype=np.float32))[0])
