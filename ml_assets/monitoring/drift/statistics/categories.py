"""Categories of a chunk beside those of the reference."""

from dataclasses import dataclass

import numpy as np

from ml_assets.profiles import TextProfile
from ml_assets.profiles.texts import Others


@dataclass(frozen=True)
class PairedCategories:
    """Rows by category, of the reference and of now, int64 of shape (k,).

    Attributes:
        expected_rest, actual_rest: rows of further categories, which are not told apart; 0 where there are few.
    """

    expected: np.ndarray
    actual: np.ndarray
    expected_rest: int
    actual_rest: int

    @classmethod
    def of(cls, reference: TextProfile, now: TextProfile) -> "PairedCategories":
        """Pair two profiles on one grid.

        Of the categories outside the grid a profile knows all up to some hash: those up to the lower of two are known
        on both sides.
        """
        end = min(_known_up_to(reference.others), _known_up_to(now.others))
        known = [_upto(each.others, end) for each in (reference, now)]
        hashes = np.union1d(known[0][0], known[1][0])
        expected, actual = (_at(hashes, *each) for each in known)
        return cls(
            np.append(reference.counts, expected),
            np.append(now.counts, actual),
            reference.others.rows - int(expected.sum()),
            now.others.rows - int(actual.sum()),
        )

    def shares(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Return the shares of rows: by category of either side, and of the rest."""
        expected_rows = self.expected.sum() + self.expected_rest
        actual_rows = self.actual.sum() + self.actual_rest
        return (
            self.expected / expected_rows,
            self.actual / actual_rows,
            self.expected_rest / expected_rows,
            self.actual_rest / actual_rows,
        )


def _known_up_to(others: Others) -> int:
    if others.exact:
        return 2**63
    return int(others.hashes[-1]) if len(others.hashes) else -1


def _upto(others: Others, end: int) -> tuple[np.ndarray, np.ndarray]:
    known = int(np.searchsorted(others.hashes, np.uint64(max(end, 0)), "right")) if end >= 0 else 0
    return others.hashes[:known], others.counts[:known]


def _at(hashes: np.ndarray, own: np.ndarray, counts: np.ndarray) -> np.ndarray:
    placed = np.zeros(len(hashes), np.int64)
    placed[np.searchsorted(hashes, own)] = counts
    return placed
