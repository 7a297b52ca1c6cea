"""What a person sees while a run works: the asset at work, how far, how long; checks that failed."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


@contextmanager
def run_progress(console: Console, title: str, steps: int) -> Iterator["StepProgress"]:
    """Show the progress of a run: a live bar on a terminal, a line per step elsewhere, and a summary line at
    its end."""
    started = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        shown = StepProgress(console, bar, title, steps)
        yield shown
    console.print(f"[green]✓[/] {title} [dim]{shown.done} steps, {time.monotonic() - started:.1f} s[/]")


class StepProgress:
    """Turns the events of one run into progress."""

    def __init__(self, console: Console, bar: Progress, title: str, steps: int):
        self._console, self._bar, self._title, self._steps = console, bar, title, steps
        self._task = bar.add_task(title, total=steps)
        self.done = 0

    def __call__(self, event: dg.DagsterEvent) -> None:
        if event.event_type == dg.DagsterEventType.STEP_START:
            self._bar.update(self._task, description=f"{self._title} · {step_title(event)}")
        elif event.is_step_success or event.is_step_failure:
            self.done += 1
            self._bar.update(self._task, completed=self.done)
            self._print_step(event)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._print_failed_check(event)

    def _print_step(self, event: dg.DagsterEvent) -> None:
        if event.is_step_success and not self._console.is_terminal:
            seconds = event.step_success_data.duration_ms / 1000
            self._console.print(f"  {self.done:>2}/{self._steps} {step_title(event)} [dim]{seconds:.1f} s[/]")

    def _print_failed_check(self, event: dg.DagsterEvent) -> None:
        check = event.asset_check_evaluation_data
        if check.passed:
            return
        mark = "[red]✗[/]" if check.severity == dg.AssetCheckSeverity.ERROR else "[yellow]![/]"
        facts = {name: check.metadata[name].value for name in ("observed", "threshold") if name in check.metadata}
        shown = ", ".join(f"{name} {value}" for name, value in facts.items())
        self._console.print(f"  {mark} check {check.asset_key.to_user_string()}:{check.check_name} failed: {shown}")


def step_title(event: dg.DagsterEvent) -> str:
    """Return a step's key as people know the asset: ``orders/raw``."""
    return (event.step_key or "").replace("__", "/")
