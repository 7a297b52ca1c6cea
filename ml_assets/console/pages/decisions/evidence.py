"""One decision with everything that it rests on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ml_assets.console.pages.decisions.read import PROMOTION, read_list
from ml_assets.console.rendering import path_of
from ml_assets.console.stores import Stores
from ml_assets.lake.records import read_records
from ml_assets.public.unknown import unknown_name
from ml_assets.registry.decisions import read_decisions as read_promotions
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.training.promotion.records import PromotionRecord


@dataclass(frozen=True)
class EvidenceLine:
    """One value that was looked at.

    Attributes:
        side: on which side of the limit a value breaks it, or how the limit is read, in words.
        broken: whether it is beyond its limit.
        counted: windows beyond the limit of those looked at, in words; empty where nothing is counted.
    """

    name: str
    observed: float | None
    limit: float
    side: str
    broken: bool
    counted: str
    source: str


@dataclass(frozen=True)
class CauseLine:
    """A feature that may be behind it."""

    feature: str
    psi: float
    contribution: float


@dataclass(frozen=True)
class DecisionEvidence:
    """A decision, its evidence, and where more is known of it: title -> path of a page.

    Attributes:
        row: as in the list of decisions.
        because: why, in the words of the person who decided; None where a rule did or nothing was given.
        run_id: the MLflow run that trained the version; empty where none is recorded.
    """

    row: Mapping[str, Any]
    because: str | None
    evidence: tuple[EvidenceLine, ...]
    causes: tuple[CauseLine, ...]
    links: Mapping[str, str]
    run_id: str


def read_decision(stores: Stores, decision: str) -> DecisionEvidence:
    """Return a decision by its id.

    Raises:
        UnknownName: there is none.
    """
    every = read_list(stores)
    row = next(every.filter(id=decision).iter_rows(named=True), None)
    if row is None:
        raise unknown_name("decision", decision, every["id"].head(5).to_list())
    model = row["model"]
    links = {f"model {model}": path_of("models", model), "all decisions on it": f"/decisions?model={model}"}
    if row["version"]:
        links[f"version {row['version']}"] = path_of("models", model, "versions", row["version"])
        links[f"card of version {row['version']}"] = path_of("models", model, "card", row["version"])
    if row["kind"] == PROMOTION:
        return _of_promotion(row, _promotion(stores, model, decision), links)
    records = read_records(stores.lake, f"{model}/retrain_decision", DecisionRecord)
    return _of_retraining(row, next(record for record in records if record.id == decision), links)


def _promotion(stores: Stores, model: str, decision: str) -> PromotionRecord:
    records = read_promotions(stores.lake, model)
    return next(record for number, record in enumerate(records, 1) if decision == (record.id or f"{model}-{number}"))


def _of_promotion(row: Mapping[str, Any], record: PromotionRecord, links: Mapping[str, str]) -> DecisionEvidence:
    evidence = tuple(
        EvidenceLine(item.name, item.observed, item.threshold, "", not item.passed, "", item.source)
        for item in record.evidence
    )
    return DecisionEvidence(row, record.because, evidence, (), links, record.run_id)


def _of_retraining(row: Mapping[str, Any], record: DecisionRecord, links: Mapping[str, str]) -> DecisionEvidence:
    evidence = tuple(
        EvidenceLine(
            f"{item.kind} ({item.unit})", item.observed, item.threshold, item.side, item.breached,
            f"{item.breaches} of {item.chunks}" if item.chunks else "", item.source,
        )
        for item in record.evidence
    )  # fmt: skip
    causes = tuple(CauseLine(cause.feature, cause.psi, cause.contribution) for cause in record.causes)
    return DecisionEvidence(row, None, evidence, causes, links, "")
