"""The request forms of MLflow's scoring server: dataframe_split, dataframe_records, instances and inputs."""

from collections.abc import Mapping
from typing import Any

from ml_assets.serving.errors import BadRequest
from ml_assets.serving.prediction.given import Columns, Given, Rows

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def read_request(request: Mapping[str, Any]) -> Given:
    """The features of a request.

    Raises:
        BadRequest: it has none of the four forms or several, or what is in it is neither rows nor columns.
    """
    given = [form for form in FORMS if form in request]
    if len(given) != 1:
        raise BadRequest(f"the body must have exactly one of {', '.join(FORMS)}")
    content = request[given[0]]
    if given[0] == "dataframe_split":
        return Columns(_split(content))
    if isinstance(content, Mapping):
        return Columns({name: _listed(given[0], name, values) for name, values in content.items()})
    if not isinstance(content, list):
        raise BadRequest(f"{given[0]}: must be a list of rows")
    return Rows(content)


def _split(content: Any) -> dict[str, list]:
    if not isinstance(content, Mapping) or not all(isinstance(content.get(one), list) for one in ("columns", "data")):
        raise BadRequest("dataframe_split: must be an object with the lists columns and data")
    columns, data = content["columns"], content["data"]
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) < len(columns):
        raise BadRequest("dataframe_split: columns must be names, each one once")
    for at, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            raise BadRequest(f"dataframe_split: row {at} must be a list of {len(columns)} values")
    return {name: [row[at] for row in data] for at, name in enumerate(columns)}


def _listed(form: str, name: str, values: Any) -> list:
    if not isinstance(values, list):
        raise BadRequest(f"{form}.{name}: must be a list of values")
    return values
