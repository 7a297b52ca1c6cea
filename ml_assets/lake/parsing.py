"""Records that lie in a table as JSON."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

Record = TypeVar("Record", bound=BaseModel)


def parse_record(key: str, kind: type[Record], text: str) -> Record:
    """Parse a record of a table.

    Raises:
        ValueError: the text is no such record; the message names the table and the first field that is wrong.
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        wrong = f"{where + ': ' if where else ''}{first['msg']}"
        raise ValueError(
            f"table {key!r}: {text[:60]!r} is no {kind.__name__} ({wrong}): put back an earlier version of the table"
        ) from error
