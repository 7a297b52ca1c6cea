"""Client libraries, which only those need who read such a stream."""

from importlib import import_module
from types import ModuleType


def require_library(module: str, extra: str) -> ModuleType:
    """Import a client library.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise ValueError(f"this stream needs the package of the extra `{extra}`: install ml_assets[{extra}]") from None
