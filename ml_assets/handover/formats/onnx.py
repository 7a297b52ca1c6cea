"""A directory with the model as ONNX, and a script around it."""

from pathlib import Path

from ml_assets.handover.agreement import check_answers
from ml_assets.handover.formats.base import HandoverCandidate, HandoverFormat
from ml_assets.handover.formats.scorer_files import write_onnx_scorer
from ml_assets.handover.readme import FEATURES, describe_answer
from ml_assets.training.kinds.base import ModelKind

_README = """# {name}, version {version}, as ONNX

    pip install -r requirements.txt
    python score.py < rows.jsonl > answers.jsonl

answers each line, a JSON object, with {answer}. `model.onnx` takes encoded rows, `features`, float32 of shape
(rows, {width}), and gives `scores` before any calibration; `score.py` does what lies around it.
{features}
{rows:,} holdout rows got the model's own scores, to {difference:.2g}.
"""


class OnnxDirectory(HandoverFormat):
    """``model.onnx`` for ONNX Runtime, with what encodes rows before it and calibrates scores behind it."""

    @classmethod
    def takes(cls, kind: ModelKind) -> bool:
        """Return whether the kind writes ONNX."""
        return type(kind).to_onnx is not ModelKind.to_onnx

    def write(self, candidate: HandoverCandidate, folder: Path) -> float:
        """Write the directory and score the holdout rows with its ``score.py``."""
        needed = write_onnx_scorer(candidate.model, folder)
        (folder / "requirements.txt").write_text("\n".join([*needed, ""]))
        return check_answers(candidate.model, candidate.rows, folder)

    def readme(self, candidate: HandoverCandidate, difference: float) -> str:
        """Describe the script and the graph's input and output."""
        return _README.format(
            name=candidate.name, version=candidate.version, answer=describe_answer(candidate.model),
            width=len(candidate.model.features), features=FEATURES, rows=candidate.rows.height, difference=difference,
        )  # fmt: skip
