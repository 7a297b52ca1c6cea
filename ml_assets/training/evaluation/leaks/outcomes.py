"""The labels of known and of unseen rows, and how well something tells the latter."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from ml_assets.training.evaluation.leaks.readings import ColumnReading, rates
from ml_assets.training.tasks import Task, find_task


@dataclass(frozen=True)
class Outcomes:
    """Labels as a task learns and measures them.

    Attributes:
        classes: names of the classes; None for a task without.
        known: outcomes of the rows to learn from, shape (rows,).
        unseen: those of the rows to measure on.
        half: which of the known rows are learned from where the others are measured on.
    """

    task: Task
    classes: tuple[str, ...] | None
    known: np.ndarray
    unseen: np.ndarray
    half: np.ndarray

    @classmethod
    def of(cls, known: pl.Series, unseen: pl.Series, task: str, seed: int) -> Self:
        """Read the labels of both kinds of rows."""
        found = find_task(task)
        classes = found.classes_of(known)
        ours, theirs = (found.outcomes(part, classes) for part in (known, unseen))
        return cls(found, classes, ours, theirs, np.random.default_rng(seed).random(known.len()) < 0.5)

    @property
    def taught(self) -> np.ndarray:
        """The known rows' labels as numbers, shape (rows, outputs): one output per class, or the label itself."""
        return self.as_numbers(self.known)

    @property
    def are_classes(self) -> bool:
        """Whether an outcome is one of a few, such as yes or no, and no number."""
        return bool(np.isin(self.taught, (0.0, 1.0)).all())

    @property
    def error_by_chance(self) -> float:
        """The standard error of the strength of something that tells nothing, by the rarest class among unseen rows.

        It is that of the Mann-Whitney statistic where the other class is many times as frequent, the square root of
        1 / (12 rows).
        """
        numbers = self.as_numbers(self.unseen)
        rows = float(len(numbers))
        if self.are_classes:
            rows = float(np.minimum(numbers.sum(axis=0), rows - numbers.sum(axis=0)).min())
        return 1 / np.sqrt(12 * max(rows, 1.0))

    def as_numbers(self, outcome: np.ndarray) -> np.ndarray:
        """Return outcomes as numbers, shape (rows, outputs)."""
        if self.classes:
            return (outcome[:, None] == np.arange(len(self.classes))).astype(np.float64)
        return outcome[:, None].astype(np.float64)

    def strength(self, reading: ColumnReading) -> float:
        """Measure how well the rates of a reading's bins among known rows tell the outcomes of unseen rows."""
        return self.measure(self.unseen, rates(reading.known, self.taught, reading.count)[reading.unseen])

    def strength_in_train(self, reading: ColumnReading) -> float:
        """Measure the same within the known rows: learned on one half, drawn at random, and measured on the other."""
        learned, others = self.half, ~self.half
        told = rates(reading.known[learned], self.taught[learned], reading.count)
        return self.measure(self.known[others], told[reading.known[others]])

    def measure(self, outcome: np.ndarray, numbers: np.ndarray) -> float:
        """Measure scores of shape (rows, outputs); 0.5 is chance, 1 perfect."""
        return self.task.leak_strength(outcome, numbers if self.classes else numbers[:, 0])
