"""One version of a model: predictions for any rows, explanations, and its card."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from ml_assets.modelling.context import ModelContext
from ml_assets.public.display import html_table
from ml_assets.public.rows import as_frame
from ml_assets.registry.records import CHALLENGER, CHAMPION, RegisteredVersion

if TYPE_CHECKING:
    from ml_assets.cards.card import ModelCard
    from ml_assets.public.project import Project
    from ml_assets.registry.registry import Registry
    from ml_assets.training.fit import TrainedModel


class ProjectModel:
    """One version of a declared model, as `Project.model` gives it. Its files are loaded when first needed.

    Attributes:
        name: the model's name.
        version: its number in the registry.
        as_of: the training cut-off, ISO 8601.
    """

    def __init__(
        self, project: "Project", context: ModelContext, registered: RegisteredVersion, registry: "Registry"
    ) -> None:
        self.name = registered.name
        self.version = registered.version
        self.as_of = registered.tags.get("as_of", "")
        self._project, self._context = project, context
        self._registered, self._registry = registered, registry

    @property
    def role(self) -> str:
        """What the version is at the moment: champion, challenger, or an earlier version."""
        aliases = self._registered.aliases
        return next((role for role in (CHAMPION, CHALLENGER) if role in aliases), "earlier version")

    @property
    def feature_names(self) -> list[str]:
        """The features that it was trained on, in the model's order."""
        return self.trained.features

    @property
    def columns(self) -> list[str]:
        """The columns that rows to predict must have: the time, and what the features are made of."""
        read = [column for view in self._own.views for column in view.spine_columns]
        return list(dict.fromkeys([self._context.spine.time, *read]))

    def features(self, rows: Any) -> pl.DataFrame:
        """Return rows with the features that this version was trained on, each as of the row's time.

        Args:
            rows: frame or dictionaries with `columns`.
        """
        return self._project.compute(self._context.spine, self._own.views, as_frame(rows))

    def predict(self, rows: Any, *, featured: bool = False) -> pl.DataFrame:
        """Predict rows as the batch predictions do, from what was known at each row's time.

        Args:
            rows: frame or dictionaries with `columns`; other columns are handed on.
            featured: the rows hold the features themselves, as those of `features` and of a training set do.

        Returns:
            The rows, without the features unless they were given, then ``score``, ``prediction`` and what the task adds
            (probabilities of classes, the ends of an interval).

        Raises:
            ValueError: a feature is missing or of another kind than in training.
            FeatureError: a column that a feature is made of is missing.
        """
        from ml_assets.training.fit import predict
        from ml_assets.training.predictions.scored import score_columns

        given = as_frame(rows)
        ready = self._ready(given, featured)
        answers = score_columns(self.trained, predict(self.trained, ready))
        return given.drop([answer.name for answer in answers], strict=False).with_columns(answers)

    def explain(self, rows: Any, *, featured: bool = False) -> pl.DataFrame:
        """Return how each feature moved each row's score: SHAP values.

        ``base`` and the features of a row add up to its margin: the log-odds of a probability before calibration, or
        the value.

        Args:
            rows: as of `predict`.
            featured: as of `predict`.

        Returns:
            ``row`` (from 0), of several classes ``class``, ``base``, then a column for each feature.

        Raises:
            ValueError: models of this kind have none.
        """
        from ml_assets.training.evaluation.explain import contributions

        if not self.trained.model_kind.has_contributions:
            raise ValueError(
                f"models of kind {self.trained.kind} have no contributions of single rows; card().importance says how "
                "much each feature moves the scores of all"
            )
        values = contributions(self.trained, self._ready(as_frame(rows), featured))
        names = [*self.trained.features, "base"]
        if values.ndim == 2:
            wide = pl.DataFrame(values, schema=names).with_row_index("row")
            return wide.select("row", "base", *self.trained.features)
        classes = list(self.trained.classes or ())
        wide = pl.DataFrame(values.reshape(-1, values.shape[-1]), schema=names).with_row_index("row")
        position = pl.col("row") % len(classes)
        return wide.select(
            pl.col("row") // len(classes),
            position.replace_strict(dict(enumerate(classes)), return_dtype=pl.String).alias("class"),
            "base",
            *self.trained.features,
        )

    def card(self) -> "ModelCard":
        """Return what is known of the version: data, metrics with intervals, slices, limits, provenance."""
        from ml_assets.cards.reading import read_card

        return read_card(self._context, self._registered, self.trained, self._project.lake, self._registry)

    @cached_property
    def trained(self) -> "TrainedModel":
        """The fitted model with its encoding, threshold and calibration."""
        return self._registry.load(self.name, version=self.version)

    @cached_property
    def _own(self) -> ModelContext:
        """The model with the views that the version was trained on."""
        return self._context.trained_on(self.trained.inputs)

    def _ready(self, rows: pl.DataFrame, featured: bool) -> pl.DataFrame:
        ready = rows if featured else self._project.compute(self._context.spine, self._own.views, rows)
        if why := self.trained.encoding.misfits(ready.schema):
            more = "" if featured else "; the version was trained on other columns than the lake has now"
            raise ValueError(f"version {self.version} of {self.name} cannot predict these rows: {'; '.join(why)}{more}")
        return ready

    def __repr__(self) -> str:
        return f"<{self.name} version {self.version}, {self.role}, trained as of {self.as_of[:10]}>"

    def _repr_html_(self) -> str:
        of = self._context.spec
        rows = [
            ("version", f"{self.version} ({self.role})"),
            ("trained as of", self.as_of[:10]),
            ("predicts", of.description),
            ("task", of.task),
            ("kind", of.kind),
        ]
        return html_table((self.name, ""), rows)
