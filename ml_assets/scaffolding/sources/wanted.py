"""What the user says about a source that is to be scaffolded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.csv.order import RowOrder

ROW_NUMBER, ROW_MOMENT = "row_number", "row_moment"
"""Columns that are made for rows without a time: their place, and the moment that stands for it."""


@dataclass(frozen=True)
class Wanted:
    """What the user says about a source.

    Attributes:
        where: the fields of `Where`, as they shall be declared.
        file_format: of a place whose name does not tell it.
        key: columns that identify a row; by default inferred from the sample.
        timestamp: column by which rows are cut into drops.
        grain, time_zone: how they are cut.
        label, known_at: the outcome to predict and the moment it is known, to be marked in the contract.
        order_start, order_step: for rows without a time, the moment of the first and the time from one to the next.
        order_by: column of whole numbers that tell a row's place; by default its place in the file.
    """

    where: Mapping[str, str]
    file_format: str | None = None
    key: Sequence[str] = ()
    timestamp: str | None = None
    grain: str = "monthly"
    time_zone: str = "UTC"
    label: str | None = None
    known_at: str | None = None
    order_start: str | None = None
    order_step: str | None = None
    order_by: str | None = None

    @property
    def order(self) -> RowOrder | None:
        """The order that stands in for a time.

        Raises:
            ScaffoldError: only a part of it is given, or it is wrong.
        """
        if self.order_start is None and self.order_step is None and self.order_by is None:
            return None
        if self.order_start is None or self.order_step is None:
            raise ScaffoldError(
                "rows without a time need both --order-start, the moment of the first, and --order-step, such as 1h"
            )
        number = None if self.order_by else ROW_NUMBER
        try:
            return RowOrder(
                by=self.order_by, number=number, moment=ROW_MOMENT, start=self.order_start, step=self.order_step
            )
        except ValidationError as error:
            raise ScaffoldError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
