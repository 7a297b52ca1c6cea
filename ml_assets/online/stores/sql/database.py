"""What a store needs of an SQL database."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar


class SqlDatabase(ABC):
    """A database; statements have `%s` for each value and `@` before each table.

    Attributes:
        already_there: what is raised for a row that there is already.
        for_share: what a SELECT ends with so that nobody changes its rows until the transaction ends.
        for_update: as `for_share`, where this transaction will change them.
    """

    already_there: type[Exception]
    for_share: ClassVar[str] = ""
    for_update: ClassVar[str] = ""

    @abstractmethod
    def query(self, statement: str, bound: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return all rows that a statement gives, in this thread's transaction if there is one."""

    @abstractmethod
    def execute(self, statement: str, bound: Sequence[Any] = ()) -> None:
        """Run a statement that gives no rows, in this thread's transaction."""

    @abstractmethod
    def insert(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Write many rows, in this thread's transaction."""

    @abstractmethod
    def writing(self) -> AbstractContextManager[Any]:
        """Begin to write, one writer after the other; what was written is there when it ends, unless it raises."""

    @abstractmethod
    def writing_apart(self) -> AbstractContextManager[Any]:
        """Begin to write what nobody reads yet, while others write if the database can."""
