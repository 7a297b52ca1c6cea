"""A comparison on the terminal: a short table, the worst first, and where the reports lie."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ml_assets.comparing.comparison import TableComparison
from ml_assets.comparing.drift.column import ColumnDrift
from ml_assets.comparing.drift.limits import PSI
from ml_assets.comparing.report.text import described, likelihood, limited, outcome, plain, share

SHOWN = 15
"""Columns and breaches that are shown, besides all that count."""


def show_comparison(console: Console, result: TableComparison, written: Sequence[Path]) -> None:
    """Print the outcome, what breaks the contract, a row per column, and the paths of the reports."""
    for name, side in (("reference", result.reference), ("current", result.current)):
        console.print(f"[dim]{name:>9}[/] {escape(plain(side.path))}: {side.rows:,} rows, {side.columns} columns")
    for line in _contract(result):
        console.print(line)
    if result.drift:
        console.print(_table(result))
    for column in result.left_out[:SHOWN]:
        console.print(f"[dim]not compared[/] {escape(plain(column.name))}: {escape(plain(column.reason))}")
    if len(result.left_out) > SHOWN:
        console.print(f"[dim]and {len(result.left_out) - SHOWN} more columns that are not compared[/]")
    for note in result.notes[1:]:
        console.print(f"[yellow]note[/] {escape(plain(note))}")
    mark = "[green]✓ passed[/]" if result.passed else "[red]✗ failed[/]"
    console.print(f"{mark} {result.verdict}")
    for path in written:
        console.print(f"  {escape(str(path))}", soft_wrap=True)


def _contract(result: TableComparison) -> Iterator[str]:
    for name, dtype in result.missing_columns.items():
        yield f"[red]missing column[/] {escape(plain(name))} ({escape(dtype)})"
    for breach in result.broken[:SHOWN]:
        yield f"[red]broken[/] {escape(described(breach))}"
    if len(result.broken) > SHOWN:
        yield f"[red]and {len(result.broken) - SHOWN} more rules are broken[/]"
    for name, dtype in result.new_columns.items():
        yield f"[yellow]new column[/] {escape(plain(name))} ({escape(dtype)})"
    for sentence in result.other_types:
        yield f"[yellow]type[/] {escape(plain(sentence))}"
    if few := len(result.breaches) - len(result.broken):
        yield f"[dim]{few} more rule{'s' if few > 1 else ''} that few rows break: may be chance, or is tolerated[/]"


def _table(result: TableComparison) -> Table:
    shown = result.drift[: max(SHOWN, sum(column.beyond for column in result.drift))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("column", overflow="fold")
    table.add_column("outcome")
    for heading in ("PSI", "beyond", "by chance", "missing"):
        table.add_column(heading, justify="left" if heading == "beyond" else "right")
    for column in shown:
        style = "red" if column.drifted else ""
        table.add_row(escape(plain(column.name)), outcome(column), *_values(column), style=style)
    if len(result.drift) > len(shown):
        table.caption = f"and {len(result.drift) - len(shown)} more columns, all within their limits"
    return table


def _values(column: ColumnDrift) -> tuple[str, str, str, str]:
    beyond = ", ".join(measure.method.replace("_", " ") for measure in column.measures if measure.beyond)
    before, now = (share(side.missing / side.rows) for side in (column.reference, column.current))
    missing = "" if before == now == share(0) else f"{before} → {now}"
    return limited(column.value(PSI)), beyond, likelihood(column.chance), missing
