"""Evidently's own report on the same rows, where the package `evidently` is installed."""

import importlib.util
from dataclasses import dataclass

import polars as pl

from ml_assets.comparing.comparison import TableComparison
from ml_assets.comparing.errors import WrongRequest
from ml_assets.comparing.rows.table import Table
from ml_assets.environment import TELEMETRY_OFF, set_defaults


@dataclass(frozen=True)
class EvidentlyReport:
    """What Evidently writes: a page, and the values in it as JSON."""

    html: str
    json: str


def check_installed() -> None:
    """Raise WrongRequest where Evidently is not installed."""
    if importlib.util.find_spec("evidently") is None:
        raise WrongRequest("--format evidently: the package is not installed: `pip install 'ml_assets[evidently]'`")


def run_evidently(comparison: TableComparison, reference: Table, current: Table) -> EvidentlyReport:
    """Run Evidently's preset of data drift, with its own methods and limits, on the columns that are compared.

    Raises:
        WrongRequest: Evidently is not installed, or no column has a distribution.
    """
    check_installed()
    if not comparison.drift:
        raise WrongRequest("--format evidently: no column has a distribution that can be compared")
    set_defaults(TELEMETRY_OFF)
    from evidently import DataDefinition, Dataset, Report  # pyright: ignore[reportMissingImports] - an extra
    from evidently.presets import DataDriftPreset  # pyright: ignore[reportMissingImports]

    names = [column.name for column in comparison.drift]
    numeric = [name for name in names if reference.facts[name].kind.numeric]
    definition = DataDefinition(
        numerical_columns=numeric, categorical_columns=[name for name in names if name not in numeric]
    )
    before, now = (
        Dataset.from_pandas(_frame(table, names, numeric), data_definition=definition) for table in (reference, current)
    )
    snapshot = Report([DataDriftPreset()]).run(now, before)
    return EvidentlyReport(snapshot.get_html_str(as_iframe=False), snapshot.json())


def _frame(table: Table, names: list[str], numeric: list[str]):
    return table.kept.select(
        pl.col(name) if name in numeric else pl.col(name).cast(pl.String) for name in names
    ).to_pandas()
