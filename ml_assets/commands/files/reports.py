"""The files that ``drift`` and ``test`` leave behind."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_assets.comparing.compare import Compared
from ml_assets.comparing.errors import WrongRequest
from ml_assets.comparing.evidently_report import check_installed, run_evidently
from ml_assets.comparing.report.document import as_document
from ml_assets.comparing.report.markdown import as_markdown
from ml_assets.comparing.report.page.render import as_html

EVIDENTLY = "evidently"
DEFAULT = ("html", "json")

Texts = dict[str, str]
"""Name of a file -> what it holds."""


def _html(compared: Compared, created: str) -> Texts:
    return {"drift.html": as_html(compared.result, created)}


def _json(compared: Compared, created: str) -> Texts:
    return {"drift.json": json.dumps(as_document(compared.result, created), indent=2, allow_nan=False) + "\n"}


def _markdown(compared: Compared, created: str) -> Texts:
    return {"drift.md": as_markdown(compared.result, created)}


def _evidently(compared: Compared, created: str) -> Texts:
    del created
    report = run_evidently(compared.result, compared.reference, compared.current)
    return {"evidently.html": report.html, "evidently.json": report.json}


WRITERS: dict[str, Callable[[Compared, str], Texts]] = {
    "html": _html,
    "json": _json,
    "markdown": _markdown,
    EVIDENTLY: _evidently,
}


def check_formats(formats: Sequence[str], output: str) -> tuple[str, ...]:
    """Return the formats to write, before anything is read.

    Raises:
        WrongRequest: one is not known, Evidently is not installed, or there is no folder to write to.
    """
    if unknown := [name for name in formats if name not in WRITERS]:
        raise WrongRequest(f"--format {unknown[0]}: there is no such report; choose from {', '.join(WRITERS)}")
    if formats and not output:
        raise WrongRequest(f"--format {formats[0]}: give the folder to write it to by --output")
    if output and Path(output).exists() and not Path(output).is_dir():
        raise WrongRequest(f"--output {output}: is a file: give a folder")
    if EVIDENTLY in formats:
        check_installed()
    return tuple(dict.fromkeys(formats)) or DEFAULT


def write_reports(compared: Compared, formats: Sequence[str], output: str, created: str) -> list[Path]:
    """Write the reports and return their paths."""
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in formats:
        for file, text in WRITERS[name](compared, created).items():
            (folder / file).write_text(text, encoding="utf-8")
            written.append(folder / file)
    return written
