"""A BentoML service: `bentoml serve` in this folder, then POST {"rows": [{feature: value}]} to /predict."""

from typing import Any

import bentoml
from bentoml.exceptions import InvalidArgument
from score import FOLDER, answer

NAME = (FOLDER / "name.txt").read_text().strip()


@bentoml.service(name=NAME, workers=1)
class Model:
    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Score, prediction and what the task adds, for each row of features."""
        try:
            return answer(rows)
        except ValueError as error:
            raise InvalidArgument(str(error)) from error
