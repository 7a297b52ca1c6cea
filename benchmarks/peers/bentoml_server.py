"""BentoML: `BENCHMARK_MODEL=model.ubj .venv-peers/bin/python benchmarks/peers/bentoml_server.py PORT`.

Ready at GET /readyz. POST /invocations takes {"dataframe_records": [{feature: number}]} and gives a list of scores.
"""

import os
import sys
from pathlib import Path
from typing import Any

import bentoml
from booster import predict


@bentoml.service(name="benchmark", workers=1, logging={"access": {"enabled": False}})
class Model:
    @bentoml.api(route="/invocations")
    def invocations(self, dataframe_records: list[dict[str, Any]]) -> list[float]:
        return predict(dataframe_records)


if __name__ == "__main__":
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "DO_NOT_TRACK": "1"}
    here, program = Path(__file__).resolve(), Path(sys.executable).with_name("bentoml")
    served = ["serve", f"{here.stem}:Model", "--working-dir", str(here.parent), "--host", "127.0.0.1"]
    os.execv(program, [str(program), *served, "--port", sys.argv[1]])
