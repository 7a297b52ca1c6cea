"""``drift`` and ``test``."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ml_assets.commands.exits import ExitCode
from ml_assets.commands.options import Json

_LIMIT = "The limit of this method; it decides nothing without one."
_ROWS = "a file, a folder of files, a Delta table, a URL, or a pattern in quotes such as 'new/*.csv'"

Reference = Annotated[str, typer.Option(help=f"Rows as they should be: {_ROWS}. CSV, Parquet, NDJSON or Delta.")]
Current = Annotated[str, typer.Option(help="Rows to compare with them, of any of these formats.")]
Output = Annotated[str, typer.Option(help="Folder to write reports to, made if it is not there.")]
Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        help="Report to write: html, json, markdown or evidently (Evidently's own, where that is installed). May be "
        "given several times; default: html and json.",
    ),
]
Columns = Annotated[list[str] | None, typer.Option(help="Only this column; may be given several times.")]
Exclude = Annotated[list[str] | None, typer.Option(help="Not this column; may be given several times.")]
Sample = Annotated[
    int,
    typer.Option(
        min=100,
        help="Rows of each side that are kept in memory at most, chosen at random: bins, medians and drawings are made "
        "of them. All rows are counted.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of that choice.")]
Tolerance = Annotated[float, typer.Option(help="Share of the current rows that may break a rule of the contract.")]
FalseAlarms = Annotated[
    float,
    typer.Option(help="Share of reports on rows without any change in which at most anything counts as drifted."),
]
Psi = Annotated[float, typer.Option(help="Population stability index above which a column has drifted.")]
Missing = Annotated[float, typer.Option(help="Change of the share of missing values above which it has.")]
Unseen = Annotated[float, typer.Option(help="Share of values that the reference has not, above which it has.")]
Distance = Annotated[float | None, typer.Option(help=_LIMIT)]


def compare_files(
    reference: Reference,
    current: Current,
    output: Output = "",
    formats: Formats = None,
    columns: Columns = None,
    exclude: Exclude = None,
    sample: Sample = 200_000,
    seed: Seed = 0,
    tolerance: Tolerance = 0.0,
    false_alarms: FalseAlarms = 0.05,
    psi: Psi = 0.2,
    missing: Missing = 0.1,
    unseen: Unseen = 0.05,
    kolmogorov_smirnov: Distance = None,
    jensen_shannon: Distance = None,
    hellinger: Distance = None,
    l_infinity: Distance = None,
    as_json: Json = False,
) -> bool:
    """Compare two files, print and write what that says; return whether all is well."""
    from ml_assets.commands.files.job import run_comparison
    from ml_assets.comparing.drift.limits import DriftLimits
    from ml_assets.comparing.rows.table import Choice

    limits = {
        "psi": psi,
        "missing": missing,
        "unseen": unseen,
        "kolmogorov_smirnov": kolmogorov_smirnov,
        "jensen_shannon": jensen_shannon,
        "hellinger": hellinger,
        "l_infinity": l_infinity,
    }
    declared = {name: value for name, value in limits.items() if value is not None}
    return run_comparison(
        (reference, current),
        Choice(tuple(columns or ()), tuple(exclude or ()), sample, seed),
        DriftLimits(declared, false_alarms),
        tolerance,
        output=output,
        formats=tuple(formats or ()),
        as_json=as_json,
    )


def _with_its_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `compare_files`, which typer reads off its signature."""
    signature = inspect.signature(compare_files)
    command.__signature__ = signature.replace(return_annotation=None)  # pyright: ignore[reportFunctionMemberAccess]
    command.__annotations__ = compare_files.__annotations__
    return command


@_with_its_options
def drift(**options: Any) -> None:
    """Compare two files: what breaks the contract that the first suggests, and which columns have drifted.

    No project is needed. A column has drifted if a method lies above its limit and if that is no chance. Exit status: 0
    whatever it says, 1 if rows cannot be read, 2 if the request is wrong.
    """
    compare_files(**options)


@_with_its_options
def test(**options: Any) -> None:
    """Compare two files as `drift` does, and fail where the contract is broken or a column has drifted.

    No project is needed. Exit status: 0 if all is well, 1 if not or if rows cannot be read, 2 if the request is wrong.
    """
    if not compare_files(**options):
        raise typer.Exit(ExitCode.FAILED)
