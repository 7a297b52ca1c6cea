"""What a logged row says of its features: of many rows, what was looked up of an entity is written once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from ml_assets.online.lookup import Fetched, FetchedRows, Found, FoundOfView
from ml_assets.serving.prediction.shared_features import Features, SharedFeatures


class RowParts(NamedTuple):
    """Of one row, as mappings or as JSON of them; see `Answered`."""

    features: Any
    versions: Any
    states: Any
    complete_until: Any


def row_parts(features: Sequence[Features], fetched: Sequence[Fetched]) -> list[RowParts]:
    """Return the parts of each row as mappings.

    Args:
        features: that were predicted from, of each row, by name.
        fetched: what was looked up of each row, maybe for another model than the one that answers; empty where
            nothing was.
    """
    if not fetched:
        return [RowParts(of_row, {}, {}, {}) for of_row in features]
    pairs = zip(features, fetched, strict=True)
    return [RowParts(of_row, found.versions, found.states, found.complete_until) for of_row, found in pairs]


def rendered_row_parts(features: Sequence[Features], fetched: Sequence[Fetched]) -> list[RowParts]:
    """Return the parts of each row as `row_parts` does, or as JSON where that is less work."""
    if not isinstance(features, SharedFeatures) or not isinstance(fetched, FetchedRows):
        return row_parts(features, fetched)
    try:
        own = [_inside(of_row) for of_row in features.own]
        joined = zip(
            _joined([own, *(_by_row(view, lambda found: _inside(found[2])) for view in features.fetched.views)]),
            _joined([_by_row(view, _version) for view in fetched.views]),
            _joined([_by_row(view, lambda found: _inside({found[0]: found[1]})) for view in fetched.views]),
            _joined([_by_row(view, lambda found: _inside({found[0]: found[5]})) for view in fetched.views]),
            strict=True,
        )
        return [RowParts(*of_row) for of_row in joined]
    except TypeError:
        # Row by row, the one with a value that cannot be written is named, and the others are logged.
        return row_parts(features, fetched)


def _by_row(view: FoundOfView, render: Any) -> Iterator[str]:
    return view.by_row([render(found) for found in view.found])


def _version(found: Found) -> str:
    view, _, _, _, version, _ = found
    return "" if version is None else _inside({view: version})


def _inside(values: Mapping[str, Any]) -> str:
    """Render a mapping without its braces."""
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].decode()


def _joined(parts: Sequence[Any]) -> Iterator[orjson.Fragment]:
    """Yield for each row the object that its parts make."""
    return (orjson.Fragment("{" + ",".join(filter(None, of_row)) + "}") for of_row in zip(*parts, strict=True))
