"""An earlier champion serves again."""

from datetime import datetime

from ml_assets.home import Home
from ml_assets.lake import Lake
from ml_assets.notifications.notice import Notice
from ml_assets.registry.decisions import Decisions
from ml_assets.registry.registry import Registry
from ml_assets.retraining.decide import read_decisions
from ml_assets.training.promotion.records import OVERTAKEN, ROLLED_BACK, PromotionRecord, roll_back_decision


def roll_back(home: Home, registry: Registry, model: str, to: str | None, now: datetime) -> Notice:
    """Roll back and return what happened. It counts from the end of the last drop that was scored.

    Args:
        now: when it is decided, in UTC; nothing but the record of it depends on that.

    Raises:
        LookupError: no champion, no such version, or nothing to go back to.
        ValueError: the version serves already, or a person is to approve it first.
    """
    lake = Lake(home.lake)
    decided = read_decisions(lake, model)
    if not decided:
        raise LookupError(f"{model} has decided nothing yet, so there is no moment to roll back from")
    as_of = datetime.fromisoformat(decided[-1].as_of)
    decisions = Decisions(lake, registry, model)
    unfinished = decisions.pending()
    decisions.settle()
    if unfinished is not None and _is_wanted(unfinished, to) and _serves(registry, model) == unfinished.challenger:
        # A roll-back that was killed and is typed again is one roll-back, which is whole now.
        served, serves, as_of = (
            str(unfinished.champion),
            unfinished.challenger,
            datetime.fromisoformat(unfinished.as_of),
        )
    else:
        served, serves = registry.find_earlier(model, to)
        decisions.check_roll_back(serves)
        decision = roll_back_decision(model, served=served, serves=serves, as_of=as_of)
        run_id = registry.version(model, serves).run_id
        made = decisions.add(decision, run_id=run_id, as_of=as_of.isoformat(), decided_at=now)
        if made.rule == OVERTAKEN:
            raise ValueError(made.reason)
    line = f"{model}: version {serves} serves again instead of version {served}, from {as_of:%Y-%m-%d} on"
    return Notice("rollback", line, line, {"model": model, "champion": serves, "before": served})


def _is_wanted(decision: PromotionRecord, to: str | None) -> bool:
    return decision.rule == ROLLED_BACK and to in (None, decision.challenger)


def _serves(registry: Registry, model: str) -> str | None:
    champion = registry.champion(model)
    return None if champion is None else champion.version
