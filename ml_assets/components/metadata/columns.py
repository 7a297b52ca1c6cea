"""What the columns of the platform's own tables mean, as Dagster's catalogue shows it."""

from collections.abc import Mapping

from ml_assets.lake.records import NUMBER, RECORD
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.spines.spec import HORIZON, STANDS_FOR, TARGET_AT
from ml_assets.training.promotion.records import PromotionRecord
from ml_assets.training.tasks.columns import NAIVE, NAIVE_ERROR, PROBABILITY

OF_EVERY_TABLE = {
    "_complete_until": "Moment up to which the facts were complete that the row was computed from.",
    "_as_of": "Moment that the training looked from: nothing known later was used.",
    "_declaration": "Digest of the declaration that the row was made by.",
    "_drop": "Name of the drop that the row was delivered in.",
    "_inputs": "Digest of the facts and the spine's rows that the drop was computed from.",
    "model_version": "Version of the model in the registry.",
    "record": "The whole record as JSON.",
}

AHEAD = {
    HORIZON: "How far ahead the row looks, in seconds.",
    TARGET_AT: "The moment that the row looks ahead to, UTC.",
}

WEIGHED = {STANDS_FOR: "How many entity-moments the row stands for: 1, or of a thinned drop the inverse of its share."}

RAW_COLUMNS = {"_content_hash": "SHA-256 of the drop as it was delivered."}

SCORES = {
    "score": "Probability of the positive class, value of a regression, or probability of the likeliest class.",
    "prediction": "What was decided: whether the score reaches the threshold, the value, or the likeliest class.",
    "lower": "Lower end of the prediction interval.",
    "upper": "Upper end of the prediction interval.",
}

FORECASTS = AHEAD | {
    NAIVE: "Label of the row's series one season earlier, or as many as it takes for it to be known; null for none.",
    NAIVE_ERROR: "Root mean squared difference of the series' training labels to those one season earlier: the unit of "
    "rmsse; null for none.",
}

TRAINING_SET = FORECASTS | {
    "split": "Part that the row belongs to: train, validation, calibration (of intervals) or holdout, in time's order."
}

PREDICTIONS = (
    SCORES
    | AHEAD
    | {
        "feature_versions": "Table version of each feature view that was read, as JSON.",
        "scored_at": "When the run that scored began, UTC.",
        "features_corrected": "Whether the features are others now than those that the row was scored with.",
        "features_hash": "Digest of the features that the row was scored with.",
    }
)

EVALUATION = {
    "subject": "model, baseline, improvement (the paired difference, positive for a better model), or one slice.",
    "metric": "What was measured on the holdout.",
    "value": "The measured value.",
    "low": "Lower end of its bootstrap interval.",
    "high": "Upper end of its bootstrap interval.",
    "confidence": "Confidence of the interval.",
    "resamples": "Bootstrap resamples in which the metric is defined.",
    "rows": "Rows measured.",
}

DECISIONS = {
    **{name: field.description for name, field in PromotionRecord.model_fields.items()},
    "_number": "Place in the order in which decisions were made.",
    "decision_id": PromotionRecord.model_fields["id"].description,
}

RETRAIN_DECISIONS = {
    NUMBER: "Place in the order in which decisions were made: the last on a drop is the one that holds.",
    **{f"decision_{n}" if n == "id" else n: field.description for n, field in DecisionRecord.model_fields.items()},
    RECORD: "The whole decision as JSON, with its evidence.",
}

_CHUNKS = {
    "chunk_start": "First moment of the chunk, UTC.",
    "chunk_end": "First moment after the chunk, UTC.",
    "rows": "Rows of the chunk.",
    "scope": "chunk, or period for all rows of the drop as one.",
    "value": "The measured value; null where there is nothing to compare.",
    "threshold": "The limit it is held against; null for none.",
    "alert": "Whether the limit is passed, in a chunk of enough rows.",
}

DRIFT = _CHUNKS | {
    "feature": "The feature that is compared with the champion's reference; (all) for all at once.",
    "method": "How it is compared: psi, another statistic of the feature, reconstruction_error; attribution, the part "
    "of all contributions that has gone to other features, and attribution_change, the change of a feature's share.",
    "error": "The true value lies at most this far from `value`; 0 where it is exact, null where that is not known.",
}

PERFORMANCE = _CHUNKS | {
    "scope": "chunk, period for all rows of the drop as one, or horizon for those of one horizon.",
    "horizon": "Seconds that the rows of the scope horizon look ahead.",
    "kind": "estimated without the period's labels, or realised where labels are known.",
    "metric": "What was measured.",
    "lower": "Lower end of the band around an estimate.",
    "upper": "Upper end of the band around an estimate.",
    "missing": "Predictions whose label is not known, left out of a realised value.",
    "known_share": "Share of the predictions whose label is known, 0 to 1.",
    "known_mean_score": "Mean score of the rows whose label is known.",
    "unknown_mean_score": "Mean score of the rows whose label is not known.",
    "score_distance": "Greatest difference between the two distributions of scores (Smirnov), 0 to 1.",
    "without_payoff": "Rows that value leaves out, as a payoff of theirs is not known.",
    "measured_at": "Moment of the data by which labels were known, UTC; null in old rows: the end of the drop.",
    "past_errors": "Known errors of estimates that the band is made of.",
    "margin": "What these errors add to the band on either side.",
}

SERVED_ANSWERS = SCORES | {
    "feature_versions": "Per view the build and the last pushed fact that were read, as JSON.",
    "scored_at": "When the answer was asked for, UTC.",
    "role": "Who answered: champion or canary.",
    "states": "Per view whether its values were fresh, unseen, expired or missing, as JSON.",
}


def describe_probabilities(columns: list[str]) -> dict[str, str]:
    """Describe the columns of a multiclass model's probabilities."""
    return {
        name: f"Probability of class {name.removeprefix(PROBABILITY)}."
        for name in columns
        if name.startswith(PROBABILITY)
    }


def described(columns: list[str], *more: Mapping[str, str]) -> dict[str, str]:
    """Return the description of each column that has one; where several mappings describe it, the last counts."""
    known: dict[str, str] = {**OF_EVERY_TABLE, **describe_probabilities(columns)}
    for words in more:
        known |= {name: text for name, text in words.items() if text}
    return {name: known[name] for name in columns if name in known}
