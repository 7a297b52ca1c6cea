"""FastAPI with a pydantic body, the usual way to serve a model. `fastapi_xgboost.py PORT [BOOSTER]`

Without a booster it answers a constant: what the framework costs.
"""

import sys

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import create_model

FEATURES = [f"x{number}" for number in range(30)]
Row = create_model("Row", **dict.fromkeys(FEATURES, (float | None, ...)))
booster = None
if len(sys.argv) > 2:
    import xgboost as xgb

    booster = xgb.Booster(model_file=sys.argv[2])
    booster.set_param({"nthread": 1})
app = FastAPI()


@app.post("/predict")
async def predict(row: Row):
    values = [getattr(row, name) for name in FEATURES]
    if booster is None:
        return {"score": 0.5}
    return {"score": float(booster.inplace_predict(np.array([values], dtype=np.float32))[0])}


@app.get("/ready")
async def ready():
    return {}


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="error")
