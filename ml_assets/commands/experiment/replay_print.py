"""A replay's findings on a terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ml_assets.retraining.replay.lived import LivedPolicy
from ml_assets.retraining.replay.report import best_policies, describe_best, show_number


def print_replay(console: Console, model: str, metric: str, lived: Sequence[LivedPolicy]) -> None:
    """Print a row per policy within 80 columns, ``*`` at the best; then what the best policy saved."""
    best = best_policies(lived)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, collapse_padding=True)
    table.add_column("policy", overflow="fold")
    for heading in (f"mean {metric}", "retrains", "training s", "delay", "regret"):
        table.add_column(heading, justify="right", no_wrap=True)
    for outcome in lived:
        cells = (
            f"{outcome.policy} *" if outcome in best else outcome.policy,
            f"{show_number(outcome.mean)} [{show_number(outcome.low)}, {show_number(outcome.high)}]",
            str(outcome.retrains),
            show_number(outcome.training_seconds, 1),
            show_number(outcome.detection_delay, 1),
            show_number(outcome.regret),
        )
        table.add_row(*(Text(cell) for cell in cells), style="bold" if outcome in best else None)
    periods = lived[0].periods
    console.print(Text(f"{model}, {periods[0].period} to {periods[-1].period} lived again"))
    console.print(table)
    console.print(Text(f"* {describe_best(metric, lived)}"))
