"""What is kept of answers once they are given: the request log, and what a challenger would have said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ml_assets.serving.declared import Declarations
from ml_assets.serving.log.request_log import Answered, LogSchema, RequestLog
from ml_assets.serving.prediction.exchange import Exchange
from ml_assets.serving.prediction.feature_answers import by_row
from ml_assets.serving.rollout.challenger import SHADOW, Shadow
from ml_assets.serving.rollout.champions import Champions, Served

OpenLog = Callable[[Callable[[str, str], LogSchema]], RequestLog]
"""Makes a log, given what tells the types of a model's version."""


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

    def __init__(self, champions: Champions, declared: Declarations, open_log: OpenLog) -> None:
        self._champions = champions
        self._fields = {name: model.fields for name, model in declared.models.items()}
        self._shadowed = {name for name, model in declared.models.items() if model.serving.shadow}
        self._schemas: dict[tuple[str, str], LogSchema] = {}
        self._log = open_log(lambda model, version: self._schemas[model, version])
        self._shadow: Shadow[_Trial] | None = Shadow(self._try) if self._shadowed else None
        self.counters = {
            "logged_rows": ("Answers written to the request log.", lambda: self._log.written),
            "log_dropped_rows": ("Answers that the request log had no room for.", lambda: self._log.dropped),
        }
        if self._shadow is not None:
            shadow = self._shadow
            self.counters |= {
                "shadow_done": ("Requests that a challenger scored in the shadow.", lambda: shadow.done),
                "shadow_dropped": ("Requests that no challenger had time for.", lambda: shadow.dropped),
                "shadow_failed": ("Requests that a challenger failed on.", lambda: shadow.failed),
            }

    def keep(self, asked: Exchange, seconds: float) -> None:
        """Take the rows of a request, without waiting for anything."""
        rows = [self._answered(asked, at, seconds) for at in range(len(asked.scored))]
        for row in rows:
            self._log.put(row)
        name = asked.served.name
        challenger = self._champions.challenger(name) if name in self._shadowed else None
        if challenger is not None:
            unseen = [row for row in rows if row.version != challenger.version]
            self._shadow.put(_Trial(challenger, unseen))

    def close(self) -> None:
        """Score and write what is left."""
        if self._shadow is not None:
            self._shadow.close()
        self._log.close()

    def _answered(self, asked: Exchange, at: int, seconds: float) -> Answered:
        one = asked.scored[at]
        self._know(one.served)
        fetched = one.fetched
        return Answered(
            request_id=asked.request_id,
            row=at,
            model=one.served.name,
            version=one.served.version,
            role=one.role,
            requested_at=asked.at,
            latency=seconds,
            given=one.given,
            features=one.features,
            answer=one.answer,
            versions={} if fetched is None else fetched.versions,
            states={} if fetched is None else fetched.states,
        )

    def _know(self, served: Served) -> None:
        key = (served.name, served.version)
        if key not in self._schemas:
            self._schemas[key] = LogSchema.of(served.predictor.model, self._fields.get(served.name, ()))

    def _try(self, trial: _Trial) -> None:
        challenger = trial.challenger
        self._know(challenger)
        matrix = challenger.predictor.encode_features([row.features for row in trial.rows])
        for row, answer in zip(trial.rows, by_row(challenger.predictor.predict(matrix)), strict=True):
            self._log.put(replace(row, version=challenger.version, role=SHADOW, answer=answer))
