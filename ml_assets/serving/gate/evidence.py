"""What serving has to say about a promotion: how long the challenger takes, and whether the last answers were right."""

from ml_assets.serving.gate.latency import Latency
from ml_assets.serving.log.skew import SkewRecord
from ml_assets.serving.spec import ServingSpec
from ml_assets.training.promotion.records import PromotionEvidence


def latency_evidence(measured: Latency, spec: ServingSpec) -> list[PromotionEvidence]:
    """Compare the challenger's latency with the declared limits."""
    source = f"{measured.requests} single rows in turn, from JSON to JSON in one process: at most"
    return [
        _evidence("p95_ms", measured.p95_ms, spec.p95_ms, source),
        _evidence("p99_ms", measured.p99_ms, spec.p99_ms, source),
    ]


def skew_evidence(record: SkewRecord) -> list[PromotionEvidence]:
    """Report whether the latest served features were right: the best model errs on wrong features."""
    most = f", most of {record.worst_feature}" if record.worst_feature else ""
    source = f"{record.rows} answers about {record.drop}, computed again: values that differ{most}; at most"
    return [_evidence("values_differing", record.differing, 0, source)]


def _evidence(name: str, observed: float, limit: float, source: str) -> PromotionEvidence:
    return PromotionEvidence(name=name, observed=observed, threshold=limit, passed=observed <= limit, source=source)
