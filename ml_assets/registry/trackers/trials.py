"""The trials of a search, as trackers take them."""

from ml_assets.registry.trackers.interface import SearchTrial
from ml_assets.training.search.search import search_history

_COLUMNS = ("trial", "state", "value", "rounds", "seconds", "best_so_far")


def search_trials(storage: str, study: str) -> list[SearchTrial]:
    """Read the ended trials of a study, in order.

    Args:
        storage: SQLAlchemy URL of Optuna's storage.
        study: name of the study.
    """
    return [
        SearchTrial(
            number=row["trial"],
            state=row["state"],
            parameters={name: value for name, value in row.items() if name not in _COLUMNS},
            value=row["value"],
            rounds=row["rounds"],
            seconds=row["seconds"],
        )
        for row in search_history(storage, study).iter_rows(named=True)
    ]
