"""What a request for a prediction holds: the columns of the spine that a model's features are made of."""

from collections.abc import Sequence

from ml_assets.declarations.specs import DeclaredSpine, DeclaredView
from ml_assets.features.spec import FeatureViewSpec


def requested_columns(spine: DeclaredSpine, views: Sequence[DeclaredView]) -> list[str]:
    """The columns that a request gives beside the moment: the spine's key, and what the views read of the spine."""
    wanted = [*spine.key]
    for view in views:
        wanted += view.spine_columns if view.table is not None else read_of_request(view)
    return [column for column in dict.fromkeys(wanted) if column != spine.time]


def offline_views(views: Sequence[DeclaredView]) -> list[str]:
    """The views without which a model cannot be asked about rows of its spine, as they are not online."""
    return [view.name for view in views if view.table is not None and view.online is None]


def read_of_request(view: FeatureViewSpec) -> list[str]:
    """The columns that a view's request features read of the spine; of a view without a table these are all, as its
    keys tell apart rows that are stored, and none are."""
    from ml_assets.features.expressions import columns_read

    return columns_read(view.name, view.request.values())
