"""Decisions on who serves: written down first, and then carried out."""

from datetime import datetime

from ml_assets.lake import Lake
from ml_assets.lake.commits import Moves, PositionMoved
from ml_assets.lake.records import add_records, read_records
from ml_assets.registry.records import CHALLENGER, RegisteredVersion
from ml_assets.registry.registry import Registry
from ml_assets.training.promotion.approval import answer_waiting, find_waiting
from ml_assets.training.promotion.records import (
    LATENCY,
    OVERTAKEN,
    REFUSED,
    ROLLED_BACK,
    WAITS,
    PromotionDecision,
    PromotionRecord,
    overtaken,
    record_promotion,
)

AS_OF = "_as_of"
ANSWERS = "answers"
"""What the table keeps a position of: how many answers persons have given, of which each rests on the one before."""
SHOWN = ("model", "challenger", "champion", "promote", "rule", "reason", "decided_at")


class NotWaiting(LookupError):
    """A version is to be approved or refused that does not wait for it."""


class Decisions:
    """The decisions on a model's champion: rows of ``<model>/champion`` that are added and never changed.

    A decision to promote or to roll back is carried out after it was written. What a killed process left undone is
    made up for by ``settle``, which everything calls that is about to decide or to serve.
    """

    def __init__(self, lake: Lake, registry: Registry, model: str) -> None:
        self._lake = lake
        self._registry = registry
        self._model = model

    def standing(self, challenger: RegisteredVersion, as_of: str, basis: str) -> PromotionRecord | None:
        """Return the decision on a challenger that is still up to date; None where a new decision is due.

        A promotion stands for good: going back from it, and forth again, are roll-backs. So does a person's refusal.
        Any other refusal stands, as does waiting for a person, while it rests on the same basis and the champion that
        it was compared with serves, unless it was for a latency, which is measured anew.
        """
        every = read_decisions(self._lake, self._model)
        made = [
            record
            for record in every
            if record.challenger == challenger.version
            and record.run_id in (challenger.run_id, "")
            and record.as_of in (as_of, "")
            and record.rule != ROLLED_BACK
        ]
        if not made or made[-1].rule == OVERTAKEN:
            return None
        last = made[-1]
        if last.promote or last.rule == REFUSED:
            return last
        reigning = self._registry.champion(self._model)
        serves = None if reigning is None or reigning.version == challenger.version else reigning.version
        if last.rule == WAITS and find_waiting(every) is None:
            return None  # another served meanwhile, and the one it was compared with does again: it is to wait again
        stands = last.basis == basis and last.rule != LATENCY and last.champion == serves
        return last if stands else None

    def add(
        self, decision: PromotionDecision, *, run_id: str, as_of: str, basis: str = "", decided_at: datetime
    ) -> PromotionRecord:
        """Store a decision and carry it out; returns it, or the outcome where another process was faster.

        Args:
            run_id: the MLflow run that trained the challenger.
        """
        return self._carry_out(
            record_promotion(decision, run_id=run_id, as_of=as_of, basis=basis, decided_at=decided_at)
        )

    def waiting(self) -> PromotionRecord | None:
        """Return the decision that waits for a person's approval; None if none does."""
        return find_waiting(read_decisions(self._lake, self._model))

    def answer(
        self, version: str, *, approve: bool, by: str, because: str | None, decided_at: datetime
    ) -> PromotionRecord:
        """Store a person's decision on the challenger that waits, and carry it out as any other.

        Of several persons who answer at the same moment one is heard; the others are told who that was.

        Raises:
            NotWaiting: this version does not wait, or waits no longer, as somebody has answered or another serves by
                now.
            ValueError: it is not said who decides.
        """
        by, because = by.strip(), (because or "").strip() or None
        if not by:
            raise ValueError(f"nobody is named: say who {'approves' if approve else 'refuses'} version {version}")
        self.settle()
        # Looked at before the decisions are: whoever answers after that moves it.
        given = self._lake.position(champion_key(self._model), ANSWERS)
        waiting = self.waiting()
        if waiting is None or waiting.challenger != version:
            raise NotWaiting(describe_not_waiting(self._lake, self._model, version))
        decision = answer_waiting(waiting, approve=approve, by=by, because=because)
        about = {"run_id": waiting.run_id, "as_of": waiting.as_of, "basis": waiting.basis, "decided_at": decided_at}
        answered = record_promotion(decision, **about, by=by, because=because)
        try:
            made = self._carry_out(answered, {ANSWERS: (given, (given or 0) + 1)})
        except PositionMoved:
            raise NotWaiting(describe_not_waiting(self._lake, self._model, version)) from None
        if made.rule == OVERTAKEN:
            raise NotWaiting(made.reason)
        return made

    def _carry_out(self, record: PromotionRecord, moves: Moves | None = None) -> PromotionRecord:
        self._write(record, moves)
        self.settle()
        made = [each for each in read_decisions(self._lake, self._model) if each.challenger == record.challenger]
        return made[-1]

    def settle(self) -> None:
        """Carry out the last decision to change, if that has not been done; what a person has refused is tried on no
        requests any more.

        Only a decision about the champion that still serves is carried out: any other is marked as overtaken, and is to
        be made again.
        """
        self._withdraw_refused()
        last, registry, name = self.pending(), self._registry, self._model
        if last is None:
            return
        obstacle = self._obstacle(last)
        if obstacle:
            also = {"run_id": last.run_id, "as_of": last.as_of, "basis": last.basis, "decided_at": last.decided_at}
            self._write(record_promotion(overtaken(last, obstacle), **also))
            return
        if last.rule == ROLLED_BACK:
            registry.serve_again(name, last.challenger, as_of=datetime.fromisoformat(last.as_of))
        else:
            registry.promote(name, last.challenger, over=last.champion)
        registry.settle(name, last.id)

    def _withdraw_refused(self) -> None:
        every = read_decisions(self._lake, self._model)
        refused = {(record.challenger, record.run_id) for record in every if record.rule == REFUSED}
        tried = self._registry.challenger(self._model) if refused else None
        if tried is not None and (tried.version, tried.run_id) in refused:
            self._registry.delete_alias(self._model, CHALLENGER)

    def pending(self) -> PromotionRecord | None:
        """Return the stored decision to change that was not carried out to its end; None if all were."""
        every = read_decisions(self._lake, self._model)
        made = [record for record in every if record.promote or record.rule == OVERTAKEN]
        if not made or not made[-1].promote or not made[-1].id:
            return None
        return None if self._registry.settled(self._model) == made[-1].id else made[-1]

    def check_roll_back(self, version: str) -> None:
        """Raise ValueError for a version that a roll-back would let serve without the approval that it needs: where
        persons approve, one that has never served."""
        every = read_decisions(self._lake, self._model)
        own = [record for record in every if record.challenger == version]
        # A decision that came too late is followed by one that says so.
        carried_out = [
            record.promote and (after is None or after.rule != OVERTAKEN)
            for record, after in zip(own, [*own[1:], None], strict=False)
        ]
        if any(record.rule == WAITS for record in every) and not any(carried_out):
            last = own[-1].reason if own else "nothing was decided about it"
            raise ValueError(
                f"version {version} of {self._model} has never served, and persons approve what does: {last}"
            )

    def serving_version(self) -> str | None:
        """Return the version that serves, or will once the last decision is carried out; None if there is none.

        Nothing is changed.
        """
        last = self.pending()
        if last is not None and not self._obstacle(last):
            return last.challenger
        champion = self._registry.champion(self._model)
        return None if champion is None else champion.version

    def _obstacle(self, decision: PromotionRecord) -> str:
        """Return why a decision cannot be carried out; empty if it can."""
        if self._registry.run_of(self._model, decision.challenger) != decision.run_id:
            return f"Version {decision.challenger} is no longer in the registry: train again."
        reigning = self._registry.champion(self._model)
        serves = None if reigning is None else reigning.version
        if serves in (decision.champion, decision.challenger):
            return ""
        compared = "no champion" if decision.champion is None else f"version {decision.champion}"
        now = "no version serves" if serves is None else f"version {serves} serves"
        return f"Version {decision.challenger} was to follow {compared}, but {now} by now: decide again."

    def _write(self, record: PromotionRecord, moves: Moves | None = None) -> None:
        shown = {AS_OF: record.as_of, "decision_id": record.id, **{name: getattr(record, name) for name in SHOWN}}
        add_records(self._lake, champion_key(self._model), [record], [shown], AS_OF, moves)


def champion_key(model: str) -> str:
    """Return the key of the table of the decisions on a model's champion."""
    return f"{model}/champion"


def read_decisions(lake: Lake, model: str) -> list[PromotionRecord]:
    """Read every decision on a model's champion, the oldest first; empty before the first."""
    return read_records(lake, champion_key(model), PromotionRecord)


def describe_not_waiting(lake: Lake, model: str, version: str) -> str:
    """Return that a version does not wait for approval, what was decided about it last, and who waits instead."""
    every = read_decisions(lake, model)
    own, waiting = [each for each in every if each.challenger == version], find_waiting(every)
    last = f"; the last decision on it: {own[-1].reason}" if own else "; nothing was decided about it"
    instead = f". Version {waiting.challenger} waits" if waiting else ""
    return f"version {version} of {model} does not wait for approval{last}{instead}"


def describe_no_champion(lake: Lake, model: str) -> str:
    """Return that a model has no champion, and what to do about it."""
    waiting = find_waiting(read_decisions(lake, model))
    if waiting is None:
        return f"model {model} has no champion yet: materialize {champion_key(model)} first"
    approve = f"ml-assets approve {model} {waiting.challenger} --by NAME"
    return f"model {model} has no champion yet: version {waiting.challenger} waits for approval, give `{approve}`"
