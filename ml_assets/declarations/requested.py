"""What a request for a prediction holds: the columns of the spine that a model's features are made of."""

from collections.abc import Sequence

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.spec import FeatureViewSpec


def requested_columns(spine: DeclaredSpine, views: Sequence[DeclaredView]) -> list[str]:
    """Return the columns of a request beside its moment: the spine's key, and what the views read of the spine."""
    wanted = [*spine.key]
    for view in views:
        wanted += view.spine_columns if view.table is not None else read_of_request(view)
    return [column for column in dict.fromkeys(wanted) if column != spine.time]


def offline_views(views: Sequence[DeclaredView]) -> list[str]:
    """Return the views without which a model cannot predict rows of its spine on request, as they are not online."""
    return [view.name for view in views if view.table is not None and view.online is None]


def read_of_request(view: FeatureViewSpec) -> list[str]:
    """Return the columns that a view's request and calendar features read of the spine.

    Of a view without a table these are all that it reads: its keys tell apart stored rows, and it has none.
    """
    return view.row_columns
