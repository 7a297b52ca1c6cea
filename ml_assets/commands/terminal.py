"""Where commands tell of their progress."""

import os
import sys

from rich.console import Console


def open_terminal(to_errors: bool = False) -> Console:
    """Open a console on the real standard output (or error); Dagster redirects the process's own while steps run."""
    stream = sys.stderr if to_errors else sys.stdout
    return Console(file=os.fdopen(os.dup(stream.fileno()), "w", buffering=1), highlight=False)
