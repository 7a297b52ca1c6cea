"""LitServe: `BENCHMARK_MODEL=model.ubj .venv-peers/bin/python benchmarks/peers/litserve_server.py PORT`.

Ready at GET /health. POST /invocations takes {"dataframe_records": [{feature: number}]} and gives {"predictions"}.
"""

import sys

import litserve


class Model(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002
        from booster import predict

        self.scores = predict

    def decode_request(self, request):
        return request["dataframe_records"]

    def predict(self, rows):
        return self.scores(rows)

    def encode_response(self, scores):
        return {"predictions": scores}


if __name__ == "__main__":
    server = litserve.LitServer(Model(api_path="/invocations"), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="error")
