"""What every component tells about itself: its use case and the version of its declaration."""

import hashlib

import dagster as dg
from pydantic import BaseModel

from ml_assets import __version__


def use_case(context: dg.ComponentLoadContext) -> str:
    """Return the folder directly under ``defs/`` that the declaration lies in; it names the asset group."""
    return context.path.relative_to(context.defs_module_path).parts[0]


def declaration_version(declared: BaseModel) -> str:
    """Return the code version of an asset: it changes with its declaration and with the platform's version."""
    text = f"{__version__}\n{declared.model_dump_json()}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
