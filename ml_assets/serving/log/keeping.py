"""What is kept of answers once they are given: the request log, and what a challenger would have said."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from ml_assets.serving.declared import Declarations
from ml_assets.serving.log.request_log import Answered, LogSchema
from ml_assets.serving.log.row_parts import RowParts, rendered_row_parts, row_parts
from ml_assets.serving.log.spool import Spool
from ml_assets.serving.prediction.messages import PredictionResponse, by_row
from ml_assets.serving.rollout.challenger import FALLBACK, SHADOW, Shadow
from ml_assets.serving.rollout.champions import Champions, Served
from ml_assets.serving.spec import AnswerLogSpec

OpenLog = Callable[[Callable[[str, str], LogSchema], Mapping[str, AnswerLogSpec]], Spool]
"""Opens a spool, given what tells the types of a model's version, and what may be lost by model."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """Rows that a challenger scores."""

    challenger: Served
    rows: Sequence[Answered]


class Keeping:
    """Logs every row that was answered; where a model's challenger is in the shadow, lets it score the row too.

    Attributes:
        counters: name -> help and what to ask for the count.
    """

    def __init__(
        self, champions: Champions, declared: Declarations, open_log: OpenLog, *, replayed: bool = False
    ) -> None:
        """Open the log.

        Args:
            replayed: whether requests name their own moments.
        """
        self._replayed = replayed
        self._champions = champions
        self._fields = {name: model.fields for name, model in declared.models.items()}
        self._shadowed = {name for name, model in declared.models.items() if model.serving.shadow}
        self._schemas: dict[tuple[str, str], LogSchema] = {}
        specs = {name: model.serving.log for name, model in declared.models.items()}
        self._log = open_log(lambda model, version: self._schemas[model, version], specs)
        self._shadow: Shadow[_Trial] | None = Shadow(self._try) if self._shadowed else None
        self.counters = {
            "logged_rows": ("Answers written to the spool of the request log.", lambda: self._log.written),
            "log_dropped_rows": ("Answers that the request log has lost.", lambda: self._log.dropped),
        }
        if self._shadow is not None:
            shadow = self._shadow
            self.counters |= {
                "shadow_done": ("Requests that a challenger scored in the shadow.", lambda: shadow.done),
                "shadow_dropped": ("Requests that no challenger had time for.", lambda: shadow.dropped),
                "shadow_failed": ("Requests that a challenger failed on.", lambda: shadow.failed),
            }

    @property
    def fault(self) -> str:
        """Why answers cannot be logged now; empty while they can."""
        return self._log.fault

    def is_durable(self, model: str) -> bool:
        """Return whether the answers of a model are to be kept before they are sent."""
        return self._log.is_durable(model)

    def keep(self, response: PredictionResponse, seconds: float, *, commit: bool = True) -> None:
        """Write the rows of a response to the log's spool, and let the challenger see them later.

        Args:
            seconds: from the request to the response.
            commit: False leaves the writing of a `durable` model's rows to `commit`.
        """
        name = response.champion.name
        challenger = self._champions.challenger(name) if name in self._shadowed else None
        # A challenger scores features, not how they are written.
        parts = (rendered_row_parts if challenger is None else row_parts)(response.features(), response.fetched)
        rows = self._answered(response, parts, seconds)
        self._log.put(name, rows, commit=commit)
        if challenger is not None and self._shadow is not None:
            unseen = [row for row in rows if row.version != challenger.version and row.role != FALLBACK]
            self._shadow.put(_Trial(challenger, unseen))

    def commit(self) -> None:
        """Write the rows that wait for it."""
        self._log.commit()

    def close(self) -> None:
        """Score and write what is left."""
        if self._shadow is not None:
            self._shadow.close()
        self._log.close()

    def _answered(self, response: PredictionResponse, parts: Sequence[RowParts], seconds: float) -> list[Answered]:
        given = response.given
        rows: list[Answered] = []
        for part in response.parts:
            self._know(part.served)
            positions = range(len(part.matrix)) if part.rows is None else part.rows
            rows += [
                Answered(
                    request_id=response.request_id,
                    row=at,
                    model=part.served.name,
                    version=part.served.version,
                    role=part.role,
                    requested_at=response.at,
                    latency=seconds,
                    given=given[at] if given else {},
                    features=parts[at].features,
                    answer=answer,
                    versions=parts[at].versions,
                    states=parts[at].states,
                    replayed=self._replayed,
                    api_key=response.key,
                    complete_until=parts[at].complete_until,
                )
                for at, answer in zip(positions, by_row(part.answer), strict=True)
            ]
        return sorted(rows, key=attrgetter("row")) if len(response.parts) > 1 else rows

    def _know(self, served: Served) -> None:
        key = (served.name, served.version)
        if key not in self._schemas:
            self._schemas[key] = LogSchema.of(served.predictor.model, self._fields.get(served.name, ()))

    def _try(self, trial: _Trial) -> None:
        challenger = trial.challenger
        self._know(challenger)
        matrix = challenger.predictor.encode_features([row.features for row in trial.rows])
        answers = by_row(challenger.predictor.predict(matrix))
        rows = [
            replace(row, version=challenger.version, role=SHADOW, answer=answer)
            for row, answer in zip(trial.rows, answers, strict=True)
        ]
        self._log.put(challenger.name, rows)
