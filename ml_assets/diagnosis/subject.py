"""What is diagnosed: a model's task, its metric, its features, and what is known of where these come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from ml_assets.diagnosis.causes.upstream import Origin, UpstreamEvent
from ml_assets.training.tasks import Task
from ml_assets.training.tasks.columns import ScoredColumns


@dataclass(frozen=True)
class Subject:
    """A model whose performance is asked about.

    Attributes:
        metric: name of the model's metric.
        time: column of the rows' prediction time.
        features: columns that the model reads, without those that the time alone determines: any two periods differ
            in them.
        slices: declared slice columns.
        block: length of the blocks of time that are drawn together, such as 1d.
        psi_threshold: population stability index above which a feature has moved.
        private: of these, columns whose values are shown to nobody.
        beside: other columns that ``rescore`` reads.
        importance: feature -> share of the contributions to the score; None if not known.
        origins: feature -> where it comes from.
        events: what happened upstream.
        rescore: gives rows the predictions of the same model for other values of their features; None if it is not at
            hand.
    """

    task: Task
    columns: ScoredColumns
    metric: str
    time: str
    features: Sequence[str]
    slices: Sequence[str] = ()
    block: str = "1d"
    psi_threshold: float = 0.2
    private: frozenset[str] = frozenset()
    beside: Sequence[str] = ()
    importance: Mapping[str, float] | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    events: Sequence[UpstreamEvent] = ()
    rescore: Callable[[pl.DataFrame], pl.DataFrame] | None = None


@dataclass(frozen=True)
class SearchLimits:
    """How a diagnosis looks.

    Attributes:
        least_rows: rows of either period that a slice must have.
        least_share: share of the later rows that it must have.
        error_rate: chance that any slice is named that lost no more than others.
        most_rows: rows of either period; of more a sample is taken.
        most_slices: slices that are named.
        most_items: categories and bins that are looked at in pairs.
        candidates: slices of each family whose errors are counted by blocks of time.
        resamples: of each bootstrap.
        most_inputs: features by which the inputs of both periods are told apart: the most important ones.
        threads: of the classifier.
    """

    least_rows: int = 100
    least_share: float = 0.01
    error_rate: float = 0.05
    most_rows: int = 40_000
    most_slices: int = 5
    most_items: int = 500
    candidates: int = 100
    resamples: int = 100
    most_inputs: int = 50
    threads: int = 1
