"""The work of ``drift`` and ``test``: read, compare, print, write."""

import json
from datetime import UTC, datetime

import typer
from rich.console import Console

from ml_assets.commands.files.reports import check_formats, write_reports
from ml_assets.commands.files.show import show_comparison
from ml_assets.comparing.compare import compare
from ml_assets.comparing.drift.limits import DriftLimits
from ml_assets.comparing.report.document import as_document
from ml_assets.comparing.rows.place import find_place
from ml_assets.comparing.rows.table import Choice


def run_comparison(
    sides: tuple[str, str],
    choice: Choice,
    limits: DriftLimits,
    tolerance: float,
    *,
    output: str,
    formats: tuple[str, ...],
    as_json: bool,
) -> bool:
    """Compare two sides, print what comes of it and write the reports; return whether all is well.

    Args:
        sides: path, URL or pattern of the reference and of the current rows.
        output: folder for reports; empty for none.
        formats: of the reports.
        as_json: print the JSON document instead of a table.

    Raises:
        WrongRequest, UnusableRows: the sides cannot be compared, in one line.
    """
    wanted = check_formats(formats, output)
    compared = compare(find_place("reference", sides[0]), find_place("current", sides[1]), choice, limits, tolerance)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    written = write_reports(compared, wanted, output, created) if output else []
    if as_json:
        typer.echo(json.dumps(as_document(compared.result, created), indent=2, allow_nan=False))
    else:
        show_comparison(Console(highlight=False), compared.result, written)
    return compared.result.passed
