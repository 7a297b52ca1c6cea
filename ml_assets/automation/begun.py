"""Which use cases were run in a home: their drops are looked for, those of others when somebody says so."""

import os

BEGUN = "ML_ASSETS_BEGUN"
"""Use cases whose drops are looked for from the start, separated by commas; empty or absent: all."""


def is_begun(use_case: str) -> bool:
    """Whether the drops of a use case are looked for from the start."""
    named = os.environ.get(BEGUN, "")
    return not named or use_case in named.split(",")
