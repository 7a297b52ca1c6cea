"""A project: what it declares, and what lies in its lake and registry."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import BaseModel

from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.specs import (
    DeclaredModel,
    DeclaredOutcome,
    DeclaredSource,
    DeclaredSpine,
    DeclaredView,
    name_of,
)
from ml_assets.lake import Lake
from ml_assets.public import tables
from ml_assets.public.display import html_table, text_table
from ml_assets.public.features import features_of, warn_if_incomplete
from ml_assets.public.named import NamedDeclarations
from ml_assets.public.rows import Moment, as_frame, as_moment, with_moments
from ml_assets.public.unknown import unknown_name
from ml_assets.sources.drops.grains import WHOLE
from ml_assets.sources.drops.spec import Drops

if TYPE_CHECKING:
    from ml_assets.modelling.context import ModelContext
    from ml_assets.public.history import ModelDecisions, ModelReports
    from ml_assets.public.model import ProjectModel
    from ml_assets.public.training_rows import TrainingRows
    from ml_assets.registry.registry import Registry


class Project:
    """A project as `ml_assets.open_project` opens it. Nothing of it starts a run or writes.

    Args:
        folder: the project's folder.
        declared: what it declares; what could not be read is among its faults.
        lake: its tables.
        open_registry: opens its registry, when a model is first asked for.
    """

    def __init__(
        self, folder: Path, declared: DeclaredProject, lake: Lake, open_registry: "Callable[[], Registry]"
    ) -> None:
        self.folder = folder
        self.lake = lake
        self._declared = declared
        self._open_registry = open_registry

    # What is declared

    @cached_property
    def sources(self) -> NamedDeclarations[DeclaredSource]:
        """The declared sources by name."""
        return self._all("source", self._declared.sources)

    @cached_property
    def spines(self) -> NamedDeclarations[DeclaredSpine]:
        """The declared spines by name: rows to predict."""
        return self._all("spine", self._declared.spines)

    @cached_property
    def views(self) -> NamedDeclarations[DeclaredView]:
        """The declared feature views by name."""
        return self._all("feature view", self._declared.views)

    @cached_property
    def models(self) -> NamedDeclarations[DeclaredModel]:
        """The declared models by name."""
        return self._all("model", self._declared.models)

    @cached_property
    def declared_outcomes(self) -> NamedDeclarations[DeclaredOutcome]:
        """The declared outcomes by name."""
        return self._all("outcome", self._declared.outcomes)

    @property
    def faults(self) -> list[str]:
        """What of the declarations cannot be read, each with file and line."""
        return [fault.message for fault in self._declared.faults]

    # Tables

    @property
    def tables(self) -> list[str]:
        """The asset keys of the tables that are in the lake."""
        return tables.tables_of(self.lake, self._declared)

    def table(self, key: str, version: int | None = None) -> pl.LazyFrame:
        """Read a table lazily, as it is or as it was.

        Args:
            key: asset key, such as ``orders/validated``.
            version: version of the table, 0 being the first; the newest unless given.

        Raises:
            UnknownName: there is no such table.
            TableMissing: it is declared, and has not been written yet.
            ValueError: it has no such version.
        """
        return tables.scan_table(self.lake, self._declared, key, version)

    @property
    def declared_tables(self) -> set[str]:
        """The asset keys of the tables that the declarations name or lead to, in the lake or not."""
        return tables.declared_tables(self._declared)

    def over(self, lake: Lake) -> "Project":
        """Return the same declarations over another lake."""
        return Project(self.folder, self._declared, lake, self._open_registry)

    # Features

    def views_behind(self, of: str | DeclaredModel | DeclaredView) -> list[DeclaredView]:
        """Return the views that `features` computes of a model or a view.

        Raises:
            UnknownName: neither a model nor a feature view has this name.
        """
        declared = self._find_featured(of)
        return self._declared.views_of(declared) if isinstance(declared, DeclaredModel) else [declared]

    def features(self, of: str | DeclaredModel | DeclaredView, rows: Any) -> pl.DataFrame:
        """Compute features of any rows, each from what was known at the row's time.

        Args:
            of: a model, for the features of all its views as they are declared now, or a feature view; its name is
                enough.
            rows: a frame or dictionaries with the spine's time column and the columns that the features are made of;
                further columns are handed on. Texts are read as ISO moments, UTC where they name no zone.

        Returns:
            The rows in their order, and the features behind their columns.

        Raises:
            UnknownName: neither a model nor a feature view has this name.
            ValueError: both have it, or a column of the rows has the name of a feature.
            FeatureError: a column is missing or of another type.
            TableMissing: a table that the features are made of is not in the lake.

        Warns:
            IncompleteFacts: rows are later than the newest drop of a table that their features are made of.
        """
        views = self.views_behind(of)
        return self.compute(self.spines[views[0].spine], views, as_frame(rows))

    def compute(self, spine: DeclaredSpine, views: Sequence[DeclaredView], rows: pl.DataFrame) -> pl.DataFrame:
        """Compute the features of some views; see `features`."""
        for column in self._moments_of(spine):
            rows = with_moments(rows, column)
        warn_if_incomplete(self.lake, views, rows, spine.time, self._cut)
        return features_of(self.lake, spine, views, rows)

    def _moments_of(self, spine: DeclaredSpine) -> list[str]:
        """Return the columns of a spine's rows that hold moments, as far as the lake tells."""
        there = self.lake.scan(spine.table).collect_schema() if self.lake.exists(spine.table) else {}
        moments = [name for name, dtype in there.items() if isinstance(dtype, pl.Datetime)]
        return list(dict.fromkeys([spine.time, *([spine.target_at] if spine.target_at else []), *moments]))

    def outcomes(self, of: str | DeclaredOutcome | Sequence[str | DeclaredOutcome], rows: Any) -> pl.DataFrame:
        """Compute what came of any rows within the window after each, as far as the lake tells.

        Args:
            of: a declared outcome, or several of one spine, which are computed together; names are enough.
            rows: a frame or dictionaries with the spine's time column and the entity as the spine names it, and of a
                spine with horizons the moment that a row looks ahead to; further columns are handed on.

        Returns:
            The rows in their order, the outcome's aggregates, the outcome under its name, and when it is known or will
            be. Aggregates and outcome are null where the lake does not hold every fact up to that moment. Of several,
            the name of an aggregate begins with that of its outcome: `<outcome>_<aggregate>`.

        Raises:
            UnknownName: no outcome has this name.
            ValueError: no outcome is named, or they are of several spines.
            OutcomeError: a column is missing or of another type.
            TableMissing: the outcome's table is not in the lake.
        """
        from ml_assets.public.outcomes import outcomes_of

        several = [of] if isinstance(of, str | BaseModel) else list(of)
        outcomes = [self.declared_outcomes[name_of(one) if isinstance(one, BaseModel) else one] for one in several]
        spines = sorted({outcome.spine for outcome in outcomes})
        if len(spines) != 1:
            of_which = f"they are of the spines {', '.join(spines)}" if spines else "none is named"
            raise ValueError(f"outcomes: {of_which}: name outcomes of one spine")
        until = {outcome.name: self._complete_until(outcome) for outcome in outcomes}
        frame, prefixed = as_frame(rows), not isinstance(of, str | BaseModel)
        return outcomes_of(self.lake, outcomes, self.spines[spines[0]], frame, until, prefixed=prefixed)

    def _complete_until(self, outcome: DeclaredOutcome) -> datetime | None:
        """Return the moment up to which the lake holds every fact of an outcome's table."""
        of_drops = next((s for s in self.sources.values() if s.table("validated") == outcome.comes_with), None)
        return outcome.completeness(self.lake, of_drops).until

    # Models

    def training_set(self, model: str, as_of: Moment | None = None) -> "TrainingRows":
        """Build what a training as of a moment would learn from and be measured on, by what the lake holds now.

        The one that a version was trained on is the table ``<model>/training_set``.

        Args:
            model: name of a model.
            as_of: the training cut-off: no row and no label that was known later is used; UTC where it names no zone.
                By default the end of the newest drop.

        Raises:
            UnknownName: no model has this name.
            TableMissing: a table that it is made of is not in the lake.
            ValueError: a part has too few rows.
        """
        from ml_assets.modelling.context import ROW
        from ml_assets.modelling.training_set import build_training_set
        from ml_assets.public.training_rows import TrainingRows
        from ml_assets.sources.drops.moments import drop_end

        context = self.context(model)
        moment = drop_end(context.drops(self.lake)[-1], context.spine.drops) if as_of is None else as_moment(as_of)
        built = build_training_set(self.lake, context, moment)
        return TrainingRows(
            model=model,
            as_of=built.as_of,
            rows=built.rows.drop(ROW),
            features=context.features,
            label=context.spec.label.column,
            time=context.spine.time,
            left_out=built.split.dropped,
        )

    def model(self, name: str, version: int | str | None = None) -> "ProjectModel":
        """Open a version of a model: the champion, unless a version is named.

        Raises:
            UnknownName: no model, or no version of it, has this name.
            LookupError: no version is the champion yet.
        """
        from ml_assets.public.model import ProjectModel
        from ml_assets.registry.decisions import Decisions

        context, registry = self.context(name), self.registry
        known = {registered.version: registered for registered in registry.versions(name)}
        if version is not None and str(version) not in known:
            raise unknown_name(f"version of model {name}", version, known)
        chosen = str(version) if version is not None else Decisions(self.lake, registry, name).serving_version()
        if chosen is None:
            there = f"there are versions {', '.join(known)}" if known else "none is trained yet"
            raise LookupError(f"no version of model {name} is its champion: promote one, or name a version; {there}")
        return ProjectModel(self, context, known[chosen], registry)

    def decisions(self, model: str) -> "ModelDecisions":
        """Read every decision on a model: which version serves, and whether to train again.

        Raises:
            UnknownName: no model has this name.
        """
        from ml_assets.public.history import read_model_decisions

        return read_model_decisions(self.lake, self.models[model].name)

    def reports(self, model: str, as_of: Moment | None = None) -> "ModelReports":
        """Read what was measured of each drop that a model scored: drift, performance, and the pages about them.

        Args:
            as_of: leaves of each drop the measures that were the newest at that moment, as known then; UTC where it
                names no zone. None returns every measure.

        Raises:
            UnknownName: no model has this name.
        """
        from ml_assets.public.history import read_reports

        declared = self.models[model]
        reports = read_reports(self.lake, declared.name)
        if as_of is None:
            return reports
        spine = self._declared.spine_of(declared)
        return reports.as_known(as_moment(as_of), spine.partition, spine.drops)

    def context(self, model: str) -> "ModelContext":
        """Return a declared model with its spine and views, as the functions of the domain take it.

        Raises:
            UnknownName: no model has this name.
        """
        from ml_assets.modelling.context import ModelContext

        declared = self.models[model]
        spine, views = self._declared.spine_of(declared), self._declared.views_of(declared)
        contracts = {source.table("validated"): source.contract for source in self.sources.values()}
        if spine.contract:
            contracts[spine.table] = spine.contract
        use_case = self._declared.use_case_of(declared)
        outcomes = self._declared.outcomes.values()
        return ModelContext.of(declared, spine, views, use_case, contracts, self.folder, outcomes)

    @cached_property
    def registry(self) -> "Registry":
        """The registry of models; for what this class has no name for."""
        return self._open_registry()

    def __repr__(self) -> str:
        faults = f"\n{len(self.faults)} declarations cannot be read, see faults" if self.faults else ""
        return f"project {self.folder.name} in {self.folder}\n{text_table(self._counts())}{faults}"

    def _repr_html_(self) -> str:
        return html_table(
            (self.folder.name, ""), [*self._counts(), *(("cannot be read", text) for text in self.faults)]
        )

    def _counts(self) -> list[tuple[str, str]]:
        kinds: dict[str, Any] = {"sources": self.sources, "spines": self.spines, "views": self.views}
        kinds |= {"outcomes": self.declared_outcomes} if self.declared_outcomes else {}
        kinds["models"] = self.models
        return [(kind, ", ".join(named) or "none") for kind, named in kinds.items()]

    @cached_property
    def _cut(self) -> dict[str, Drops]:
        """Table -> how it is cut, of the tables that are cut into drops."""
        return {s.table("validated"): s.drops for s in self.sources.values() if s.drops.grain != WHOLE}

    def _all(self, kind: str, named: Any) -> NamedDeclarations[Any]:
        return NamedDeclarations(kind, named, self._declared.use_case_of, self.faults)

    def _find_featured(self, of: str | DeclaredModel | DeclaredView) -> DeclaredModel | DeclaredView:
        if isinstance(of, BaseModel):
            named: Any = self.models if isinstance(of, DeclaredModel) else self.views
            return named[name_of(of)]
        if of in self.models and of in self.views:
            raise ValueError(
                f"{of} is a model and a feature view: give project.models[{of!r}] or project.views[{of!r}]"
            )
        if of in self.models or of in self.views:
            return self.models[of] if of in self.models else self.views[of]
        raise unknown_name("model or feature view", of, [*self.models, *self.views], self.faults)
