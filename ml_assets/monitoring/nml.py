"""The border to NannyML: its import, its chunks, its noise, its errors."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from types import ModuleType

from ml_assets.environment import prepare_libraries
from ml_assets.training.kinds.lean import restore


class MonitoringError(RuntimeError):
    """Drift or performance cannot be measured on the data that was given."""


@cache
def load() -> ModuleType:
    """Import NannyML with its usage reporting off."""
    prepare_libraries()
    restore()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import nannyml
    return nannyml


@contextmanager
def calls(doing: str) -> Iterator[None]:
    """Run NannyML silently. ``doing`` names the purpose in the message of an error.

    NannyML logs many failures and goes on with NaN, and warns about every short list of chunks; inside this
    context nothing is printed, and whatever it logs as an error is raised.

    Raises:
        MonitoringError: NannyML raised or logged an error.
    """
    nannyml = load()
    errors = _Errors()
    logger = logging.getLogger("nannyml")
    propagate = logger.propagate
    logger.addHandler(errors)
    logger.propagate = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except nannyml.exceptions.NannyMLException as error:
        raise MonitoringError(f"{doing}: NannyML failed: {error}") from error
    finally:
        logger.propagate = propagate
        logger.removeHandler(errors)
    if errors.messages:
        raise MonitoringError(f"{doing}: NannyML failed {len(errors.messages)} times, first: {errors.messages[0]}")


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@cache
def _chunker_class() -> type:
    """Return the class of a chunker, which cannot be declared at module level without importing NannyML there."""
    import numpy as np

    chunk = load().chunk

    class RunChunker(chunk.Chunker):
        """One chunk for every run of equal values in a column of a frame sorted by it.

        ``split`` is replaced as a whole: NannyML's own sorts and regroups the frame for every method and
        column, which made up most of the time of a fit (4.2 of 5.4 s for 60 features and 27,000 rows).
        """

        def split(self, data, columns=None):
            keys = data[self.timestamp_column_name].to_numpy()
            starts = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(keys)]
            spans = enumerate(pairwise(starts))
            return [self._chunk(data, i, start, stop, keys[start], columns) for i, (start, stop) in spans]

        def _chunk(self, data, number, start, stop, key, columns):
            rows = data.iloc[start:stop]
            made = chunk.Chunk(
                key=int(key),
                data=rows if columns is None else rows[columns],
                start_index=start,
                end_index=stop - 1,
            )
            made.chunk_index = number
            return made

        def _split(self, data):
            return self.split(data)

    return RunChunker


def run_chunker(column: str):
    """Return a NannyML ``Chunker`` that makes a chunk of every run of equal integers in ``column``.

    Its chunks' keys are those integers. The frame must be sorted by ``column`` and hold no null in it.
    """
    return _chunker_class()(timestamp_column_name=column)
