"""The one entry point of Dagster: everything declared in ``defs/``."""

from pathlib import Path

from ml_assets.project import load_project

defs = load_project(Path(__file__))
