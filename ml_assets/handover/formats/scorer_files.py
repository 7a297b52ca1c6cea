"""The files by which a model scores rows of features without the platform."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from ml_assets.handover.formats.base import HandoverUnsupported
from ml_assets.training.fit import TrainedModel, save_model, save_record
from ml_assets.training.kinds.base import OnnxUnsupported, pinned

CORE = "scoring_core"
"""The folder of the platform that goes into a package as it is."""

BUNDLE = Path(__file__).parents[1] / "bundle"
"""Files that are copied as they are; they import nothing of the platform."""

ONNX_SCORER = "ml_assets.training.kinds.scorers.onnx"


def write_onnx_scorer(model: TrainedModel, folder: Path) -> list[str]:
    """Write model.onnx, encoding and record, and the code that reads them.

    Returns:
        The requirements of an environment that runs ``score.py``.

    Raises:
        HandoverUnsupported: the model has no conversion.
    """
    try:
        (folder / "model.onnx").write_bytes(model.model_kind.to_onnx(model.estimator))
    except OnnxUnsupported as error:
        raise HandoverUnsupported(str(error)) from error
    save_record(model, folder)
    _copy_code(ONNX_SCORER, folder)
    return pinned("numpy", "onnxruntime")


def write_native_scorer(model: TrainedModel, folder: Path) -> list[str]:
    """Write the library's own file, which is no pickle, encoding and record, and the code that reads them.

    Returns:
        The requirements of an environment that runs ``score.py``.

    Raises:
        HandoverUnsupported: the model's kind names no module that scores without the platform.
    """
    kind = model.model_kind
    if kind.scorer_module is None:
        raise HandoverUnsupported(f"a model of kind {model.kind} cannot score without the platform")
    save_model(model, folder)
    kind.write_scorer_files(folder)
    _copy_code(kind.scorer_module, folder)
    return kind.requirements()


def _copy_code(scorer_module: str, folder: Path) -> None:
    spec = find_spec(scorer_module)
    if spec is None or spec.origin is None:
        raise HandoverUnsupported(f"there is no file of the module {scorer_module}, which scores without the platform")
    shutil.copyfile(spec.origin, folder / "estimator.py")
    shutil.copyfile(BUNDLE / "score.py", folder / "score.py")
    core = Path(__file__).parents[2] / CORE
    shutil.copytree(core, folder / CORE, ignore=shutil.ignore_patterns("__pycache__"))
