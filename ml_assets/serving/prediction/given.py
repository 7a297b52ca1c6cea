"""Features as a request gives them: by row or by column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_assets.scoring.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows with features by name."""

    rows: Sequence[Mapping[str, Any]]

    def encode(self, predictor: Predictor) -> np.ndarray:
        """As `RowEncoder.encode_rows`."""
        return predictor.encode_rows(self.rows)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Each row's features by name."""
        return self.rows


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of values by feature."""

    columns: Mapping[str, Sequence[Any] | np.ndarray]

    def encode(self, predictor: Predictor) -> np.ndarray:
        """As `RowEncoder.encode_columns`."""
        return predictor.encode_columns(self.columns)

    def by_row(self) -> Sequence[Mapping[str, Any]]:
        """Each row's features by name."""
        plain = [one.tolist() if isinstance(one, np.ndarray) else one for one in self.columns.values()]
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*plain, strict=True)]


Given = Rows | Columns
