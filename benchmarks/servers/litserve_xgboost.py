"""LitServe, one worker. `litserve_xgboost.py PORT BOOSTER`"""

import sys

import litserve as ls
import numpy as np


class Scores(ls.LitAPI):
    def setup(self, _):
        import xgboost as xgb

        self.booster = xgb.Booster(model_file=sys.argv[2])
        self.booster.set_param({"nthread": 1})

    def decode_request(self, request):
        return np.array([[request[f"x{number}"] for number in range(30)]], dtype=np.float32)

    def predict(self, rows):
        return float(self.booster.inplace_predict(rows)[0])

    def encode_response(self, score):
        return {"score": score}


if __name__ == "__main__":
    server = ls.LitServer(Scores(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
