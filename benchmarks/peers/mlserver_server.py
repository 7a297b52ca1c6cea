"""MLServer: `BENCHMARK_MODEL=model.ubj .venv-peers/bin/python benchmarks/peers/mlserver_server.py PORT`.

Ready at GET /v2/health/ready. POST /v2/models/benchmark/infer takes one tensor for each feature, by name, and gives
scores.
"""

import asyncio
import socket
import sys

import numpy as np
from booster import NAMES, ask
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        given = {one.name: NumpyCodec.decode_input(one).ravel() for one in payload.inputs}
        scores = ask(np.stack([given[name] for name in NAMES], axis=1).astype(np.float32))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", np.array(scores))])


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    settings = Settings(
        host="127.0.0.1", http_port=int(sys.argv[1]), grpc_port=free_port(), metrics_port=free_port(),
        parallel_workers=0, debug=False, use_structured_logging=False,
    )  # fmt: skip
    asyncio.run(MLServer(settings).start([ModelSettings(name="benchmark", implementation=Model)]))
