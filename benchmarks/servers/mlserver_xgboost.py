"""A runtime of MLServer; `BOOSTER` in the environment names the model's file."""

import os

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Scores(MLModel):
    async def load(self):
        import xgboost as xgb

        self.booster = xgb.Booster(model_file=os.environ["BOOSTER"])
        self.booster.set_param({"nthread": 1})
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        score = NumpyCodec.encode_output("score", self.booster.inplace_predict(rows))
        return InferenceResponse(model_name=self.name, outputs=[score])
