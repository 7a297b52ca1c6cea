"""A version of a model in the form that another tool takes, tried on the model's own holdout rows."""

from dataclasses import dataclass
from pathlib import Path

from ml_assets.handover.agreement import Disagreement
from ml_assets.handover.directory import whole_directory
from ml_assets.handover.formats.base import HANDOVER_FORMATS, HandoverCandidate, HandoverUnsupported


@dataclass(frozen=True)
class Packaged:
    """What was written: how many holdout rows were tried, and the largest difference of a score."""

    output: str
    model: str
    version: str
    format: str
    rows: int
    difference: float


def package_model(candidate: HandoverCandidate, form: str, output: Path) -> Packaged:
    """Write a directory in a format; it appears whole, after it has scored as the model does.

    Raises:
        ValueError: there is no such format, something at ``output``, or the format cannot take the model.
        LookupError: there is no holdout row.
        Disagreement: the package scores otherwise.
    """
    if form not in HANDOVER_FORMATS.names():
        raise ValueError(f"format {form}: must be one of {', '.join(HANDOVER_FORMATS.names())}")
    named = f"version {candidate.version} of {candidate.name}"
    if candidate.rows.is_empty():
        raise LookupError(f"{named} has no holdout rows in the lake to try the package on: evaluate it first")
    written = HANDOVER_FORMATS.get(form)()
    try:
        with whole_directory(output) as folder:
            difference = written.write(candidate, folder)
            (folder / "README.md").write_text(written.readme(candidate, difference), encoding="utf-8")
    except HandoverUnsupported as error:
        raise ValueError(f"{named}: {error}; {_others(candidate, form)}") from error
    except Disagreement as error:
        raise Disagreement(f"{named} is not handed over as {form}: {error}") from error
    return Packaged(
        str(output), candidate.name, candidate.version, form, rows=candidate.rows.height, difference=difference
    )


def _others(candidate: HandoverCandidate, form: str) -> str:
    """Return what people are told of the formats that take a model which this one does not."""
    kind = candidate.model.model_kind
    able = [name for name, each in HANDOVER_FORMATS.loadable().items() if name != form and each.takes(kind)]
    return f"choose {' or '.join(able)}" if able else "no other format takes it"
