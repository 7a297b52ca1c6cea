"""A BentoML service."""

from pathlib import Path

from ml_assets.handover.agreement import check_answers
from ml_assets.handover.formats.base import HandoverCandidate, HandoverFormat
from ml_assets.handover.formats.scorer_files import BUNDLE, write_native_scorer
from ml_assets.handover.readme import FEATURES, describe_answer
from ml_assets.training.kinds.base import ModelKind

_BENTOFILE = """service: "service:Model"
description: "{name}, version {version}"
include: [{include}]
python:
  requirements_txt: "requirements.txt"
  lock_packages: false  # they are pinned
"""
_BENTOML = "bentoml>=1.4.39,<1.5"

_README = """# {name}, version {version}, as a BentoML service

    pip install -r requirements.txt
    bentoml serve
    curl localhost:3000/predict --json '{{"rows": [{{"feature": "value"}}]}}'

answers each row with {answer}. `bentoml build`, which asks for `uv`, makes a Bento of
this folder. Nothing of the platform is needed.
{features}
{rows:,} holdout rows got the model's own scores, to {difference:.2g}.
"""


class BentoMLService(HandoverFormat):
    """``service.py`` and ``bentofile.yaml`` around the library's own file."""

    @classmethod
    def takes(cls, kind: ModelKind) -> bool:
        """Return whether the kind has a module that scores without the platform."""
        return kind.scorer_module is not None

    def write(self, candidate: HandoverCandidate, folder: Path) -> float:
        """Write the folder and score the holdout rows with the ``score.py`` of its service."""
        needed = write_native_scorer(candidate.model, folder)
        (folder / "requirements.txt").write_text("\n".join([_BENTOML, *needed, ""]))
        (folder / "name.txt").write_text(f"{candidate.name}\n")
        (folder / "service.py").write_bytes((BUNDLE / "service.py").read_bytes())
        names = sorted(f"{file.name}/*.py" if file.is_dir() else file.name for file in folder.iterdir())
        include = ", ".join(f'"{name}"' for name in names)
        bentofile = _BENTOFILE.format(name=candidate.name, version=candidate.version, include=include)
        (folder / "bentofile.yaml").write_text(bentofile)
        return check_answers(candidate.model, candidate.rows, folder)

    def readme(self, candidate: HandoverCandidate, difference: float) -> str:
        """Describe how the service is started and called."""
        return _README.format(
            name=candidate.name, version=candidate.version, answer=describe_answer(candidate.model), features=FEATURES,
            rows=candidate.rows.height, difference=difference,
        )  # fmt: skip
