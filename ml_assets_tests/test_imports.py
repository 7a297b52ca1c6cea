import os
import subprocess
import sys
from pathlib import Path

import pytest

import ml_assets

SHELL = {"automation", "commands", "components", "defs"}
DOMAIN = sorted({path.parent.name for path in Path(ml_assets.__file__).parent.glob("*/__init__.py")} - SHELL)

LOAD_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), name + "."):
        importlib.import_module(found.name)
shell = ("dagster", "ml_assets.components", "ml_assets.automation", "ml_assets.commands")
print([name for name in shell if name in sys.modules])
"""

HEAVY = [
    "mlflow",
    "nannyml",
    "lightgbm",
    "matplotlib",
    "optuna",
    "xgboost",
    "sklearn",
    "scipy",
    "pandera",
    "duckdb",
    "dbt",
]

LOAD_DEFINITIONS = f"""
import sys
import ml_assets.definitions
print([name for name in {HEAVY} if name in sys.modules])
"""


def printed(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=120, **options
    ).stdout.strip()


def test_the_package_can_be_imported_without_dagster():
    assert printed("import ml_assets, sys; print('dagster' in sys.modules)") == "False"


def test_the_domain_can_be_imported_without_dagster():
    assert printed(LOAD_ALL, *(f"ml_assets.{package}" for package in DOMAIN)) == "[]"


@pytest.mark.slow
def test_loading_the_definitions_again_imports_no_heavy_library(unused_home):
    environment = {**os.environ, "ML_ASSETS_HOME": str(unused_home)}
    printed("import ml_assets.definitions", env=environment)
    assert printed(LOAD_DEFINITIONS, env=environment) == "[]"


@pytest.mark.parametrize("name", ["DbtTables", "FeatureView", "MLModel", "Source", "Spine"])
def test_components_are_found_in_the_package(name):
    import dagster as dg

    assert issubclass(getattr(ml_assets, name), dg.Component)
    assert name in dir(ml_assets)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Sauce'"):
        ml_assets.Sauce  # noqa: B018
