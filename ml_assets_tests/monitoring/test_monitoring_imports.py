import os
import subprocess
import sys

import pytest

HEAVY = {"nannyml", "pandas", "matplotlib", "sklearn", "scipy", "mlflow", "xgboost", "lightgbm", "jinja2", "dagster"}
MODULES = [
    "chunks",
    "drift.measure",
    "drift.statistics.counts",
    "drift.statistics.numbers",
    "drift.statistics.psi",
    "drift.statistics.rebuilding",
    "drift.statistics.reconstruction",
    "drift.statistics.shares",
    "nml",
    "performance.estimators.confidence",
    "performance.estimators.loss",
    "performance.watch",
    "report.heat_map",
    "report.plots",
    "report.render",
    "report.summary",
]


def loaded_after(code: str) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if name != "NML_DISABLE_USAGE_LOGGING"}
    output = subprocess.run(
        [sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {name.partition(".")[0] for name in output.stdout.split()}


@pytest.mark.parametrize(
    ("modules", "forbidden"), [(MODULES, HEAVY), (["spec"], HEAVY | {"polars", "numpy"})], ids=["all", "spec"]
)
def test_importing_monitoring_loads_nothing_heavy(modules, forbidden):
    assert loaded_after("; ".join(f"import ml_assets.monitoring.{name}" for name in modules)) & forbidden == set()
