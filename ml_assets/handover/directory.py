"""A directory that appears whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_directory(output: Path) -> Iterator[Path]:
    """Yield an empty directory beside ``output`` that becomes ``output`` at the end, and is removed if an error is
    raised.

    Raises:
        ValueError: there is something at ``output`` that is no empty directory.
    """
    output = output.absolute()
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ValueError(f"output {output}: is there already and not an empty directory: name a new one")
    unfinished = output.with_name(f".{output.name}.{uuid.uuid4().hex}")
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        # Renaming onto an empty directory replaces it; onto one that was filled meanwhile it fails.
        unfinished.replace(output)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
