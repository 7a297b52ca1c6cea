"""What a version was trained on: the views behind its features, its rows and its label, kept with the version."""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from ml_assets.features.derived import derived_from
from ml_assets.features.spec import FeatureViewSpec
from ml_assets.features.stored import stored_features
from ml_assets.outcomes.spec import OutcomeSpec
from ml_assets.training.spec import LabelSpec, SpineSpec

INPUTS_FILE = "inputs.json"


class ModelInputs(BaseModel):
    """Where a version's rows, label and features come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spine: SpineSpec = Field(description="The rows to predict.")
    label: LabelSpec = Field(description="The outcome.")
    task: str = Field(description="What kind of outcome it is.")
    views: tuple[FeatureViewSpec, ...] = Field(description="The views of its features, as they were declared.")
    outcome: OutcomeSpec | None = Field(
        default=None, description="The outcome that is the label, as it was declared; absent: the spine's table has it."
    )

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Read what a version was trained on, stored beside the model; None for a version registered without it."""
        path = directory / INPUTS_FILE
        return cls.model_validate_json(path.read_text()) if path.is_file() else None

    def write(self, directory: Path) -> None:
        """Write the inputs beside a model."""
        (directory / INPUTS_FILE).write_text(self.model_dump_json(indent=1))

    @property
    def features(self) -> dict[str, str]:
        """Feature -> a text that is the same exactly if the feature means the same."""
        return feature_meanings(self.views)

    def apart_from(self, others: "ModelInputs") -> list[str]:
        """Return why scores of a version with ``others`` cannot be held against the same outcomes; empty if
        they can."""
        pairs = {
            "the task": (others.task, self.task),
            "the label": (others.label.column, self.label.column),
            "when the label is known": (others.label.known_at, self.label.known_at),
            "the outcome": (_meaning(others.outcome), _meaning(self.outcome)),
            "the spine's table": (others.spine.table, self.spine.table),
            "the spine's key": (", ".join(others.spine.key), ", ".join(self.spine.key)),
            "the spine's time": (others.spine.time, self.spine.time),
        }
        apart = [f"{what} was {before} and is {now}" for what, (before, now) in pairs.items() if before != now]
        return apart if self.spine.looks_as_far_as(others.spine) else [*apart, _how_far(others.spine, self.spine)]

    def changes_since(self, others: "ModelInputs") -> list[str]:
        """Return what differs from a version with ``others``, a line for each kind of change; empty if nothing does."""
        before, now = others.features, self.features
        changes = {
            "no longer declared": [name for name in before if name not in now],
            "new": [name for name in now if name not in before],
            "declared otherwise": [name for name in now if name in before and before[name] != now[name]],
        }
        lines = [f"features {', '.join(names)} are {what}" for what, names in changes.items() if names]
        return [*self.apart_from(others), *lines]


def _how_far(before: SpineSpec, now: SpineSpec) -> str:
    return f"how far ahead the rows look was {', '.join(before.horizons)} and is {', '.join(now.horizons)}"


def _meaning(outcome: OutcomeSpec | None) -> str:
    return "a column" if outcome is None else outcome.meaning


def feature_meanings(views: Iterable[FeatureViewSpec]) -> dict[str, str]:
    """Return for each feature a text that is the same exactly if the feature means the same."""
    return {name: text for view in views for name, text in _meanings(view).items()}


def _meanings(view: FeatureViewSpec) -> dict[str, str]:
    """Return what each feature that models get of a view means; the view's name is no part of it."""
    stored = {name: _stored_meaning(view, name) for name in stored_features(view)}
    request = {name: f"request {text}" for name, text in view.request.items()}
    calendar = {
        name: f"calendar {part} {view.calendar[base].model_dump(exclude={'parts'})}"
        for name, (base, part) in view.calendar_features.items()
    }
    known = stored | request | calendar
    derived = {
        name: f"derived {text} {[known[read] for read in derived_from(view.name, {name: text})[name]]}"
        for name, text in view.derived.items()
    }
    return {name: text for name, text in (known | derived).items() if name not in view.hidden}


def _stored_meaning(view: FeatureViewSpec, name: str) -> str:
    if name in view.aggregate_features:
        base, function, window = view.aggregate_features[name]
        offset = view.aggregates[base].offset
        own = [view.aggregates[base].of, function, window, *([offset] if offset else [])]
    elif view.planned is not None and name in view.planned.features:
        feature, plan = view.planned.features[name], view.planned
        of, said = (
            plan.values[feature.base],
            plan.model_dump(include={"valid_at", "valid_until", "of_one", "withdrawn"}),
        )
        own = [said, view.order_by, of, feature.function, str(feature.length), feature.at, str(feature.lead)]
    elif name in view.lags:
        own = [view.lags[name].model_dump(), view.order_by]
    else:
        own = [view.latest.get(name) or view.lookups.get(name), view.ttl, view.order_by]
    return f"{view.table} {view.entity} {view.spine_entity} {view.known_at} {own}"
