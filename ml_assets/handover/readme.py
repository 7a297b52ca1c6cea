"""The few lines that go with a package."""

from ml_assets.training.fit import TrainedModel
from ml_assets.training.tasks import find_task

_FEATURES = """
A row holds every feature by name, `null` where there is no value: `encoding.json` lists them, with the texts that a
category knows. `model.json` holds threshold, classes, calibration and intervals.
"""

_ONNX = """# {name}, version {version}, as ONNX

    pip install -r requirements.txt
    python score.py < rows.jsonl > answers.jsonl

answers each line, a JSON object, with {says}. `model.onnx` takes encoded rows, `features`, float32 of shape
(rows, {features}), and gives `scores` before any calibration; `score.py` does what lies around it.
{about}
{rows:,} holdout rows got the model's own scores, to {difference:.2g}.
"""

_BENTOML = """# {name}, version {version}, as a BentoML service

    pip install -r requirements.txt
    bentoml serve
    curl localhost:3000/predict --json '{{"rows": [{{"feature": "value"}}]}}'

answers each row with {says}. `bentoml build`, which asks for `uv`, makes a Bento of
this folder. Nothing of the platform is needed.
{about}
{rows:,} holdout rows got the model's own scores, to {difference:.2g}.
"""

_MLFLOW = """# {name}, version {version}, as MLflow serves it in a container

    docker build -t {name} . && docker run -p 8080:8080 {name}
    mlflow models serve -m {folder} --port 8080        # the same without a container

answers `/invocations`. What is scored are encoded rows, numbers only, in the order of `encoding.json`: a category is
its place in the vocabulary, a boolean 0 or 1. The answer is the score before calibration; `model.json` holds
threshold, classes, calibration and intervals. Both lie in `{folder}`.

{rows:,} holdout rows got the model's own scores from `mlflow.pyfunc`, to {difference:.2g}.
"""

_TEXTS = {"onnx": _ONNX, "bentoml": _BENTOML, "mlflow-docker": _MLFLOW}


def render_readme(
    form: str, model: TrainedModel, name: str, version: str, *, rows: int, difference: float, folder: str = ""
) -> str:
    """Markdown that says how to use a package, and how far it was tried."""
    says = find_task(model.task).answers + (" and its interval" if model.intervals else "")
    return _TEXTS[form].format(
        name=name, version=version, says=says, features=len(model.features), about=_FEATURES, rows=rows,
        difference=difference, folder=folder,
    )  # fmt: skip
