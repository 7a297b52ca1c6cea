"""What a project declares, by name and by use case."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from pydantic import BaseModel

from ml_assets.declarations.reading import Fault
from ml_assets.declarations.specs import (
    DeclaredModel,
    DeclaredOutcome,
    DeclaredSource,
    DeclaredSpine,
    DeclaredView,
    find_outcome,
    name_of,
)
from ml_assets.sources.drops.grains import WHOLE

Spec = TypeVar("Spec", bound=BaseModel)


@dataclass(frozen=True)
class DeclaredProject:
    """Declarations and the use case of each: the folder under ``defs/`` that it lies in.

    Attributes:
        placed: use case and declaration, in the order of the files.
        faults: what could not be read, where only part of a project is wanted.
    """

    placed: Sequence[tuple[str, BaseModel]]
    faults: Sequence[Fault] = field(default=())

    @cached_property
    def sources(self) -> Mapping[str, DeclaredSource]:
        return self._named(DeclaredSource)

    @cached_property
    def spines(self) -> Mapping[str, DeclaredSpine]:
        return self._named(DeclaredSpine)

    @cached_property
    def views(self) -> Mapping[str, DeclaredView]:
        return self._named(DeclaredView)

    @cached_property
    def outcomes(self) -> Mapping[str, DeclaredOutcome]:
        return self._named(DeclaredOutcome)

    @cached_property
    def models(self) -> Mapping[str, DeclaredModel]:
        return self._named(DeclaredModel)

    @cached_property
    def use_cases(self) -> list[str]:
        """Return every use case that declares something, or tries to."""
        return sorted({use_case for use_case, _ in self.placed} | {fault.use_case for fault in self.faults})

    def model(self, name: str) -> DeclaredModel:
        """Return the model of a name; raises ValueError with the names of the models that exist."""
        if name not in self.models:
            raise ValueError(f"no model {name!r} is declared; there are {', '.join(sorted(self.models)) or 'none'}")
        return self.models[name]

    def spine_of(self, model: DeclaredModel) -> DeclaredSpine:
        """Return the spine that a model names; raises ValueError where it is not declared."""
        if model.spine not in self.spines:
            there = ", ".join(sorted(self.spines)) or "none"
            raise ValueError(f"model {model.name}: spine: {model.spine!r} is not declared; there are {there}")
        return self.spines[model.spine]

    def views_of(self, model: DeclaredModel) -> list[DeclaredView]:
        """Return the views that a model names; raises ValueError where one is not declared."""
        unknown = [name for name in model.features if name not in self.views]
        if unknown:
            there = ", ".join(sorted(self.views)) or "none"
            raise ValueError(f"model {model.name}: features: {', '.join(unknown)} is not declared; there are {there}")
        return [self.views[name] for name in model.features]

    def outcome_of(self, model: DeclaredModel) -> DeclaredOutcome | None:
        """Return the outcome that is a model's label, if one is; raises ValueError where it is not declared."""
        return find_outcome(model, self.outcomes.values())

    def only(self, use_case: str) -> "UseCase":
        """Return one use case.

        Raises:
            ValueError: there is none of that name, or something in it cannot be read.
        """
        if use_case not in self.use_cases:
            raise ValueError(f"no use case {use_case!r} under defs/; there are {', '.join(self.use_cases) or 'none'}")
        wrong = [fault.message for fault in self.faults if fault.use_case == use_case]
        if wrong:
            raise ValueError("\n".join(wrong))
        return UseCase(use_case, [spec for where, spec in self.placed if where == use_case])

    def use_case_of(self, spec: BaseModel) -> str:
        """Return the use case that a declaration lies in."""
        return next(where for where, each in self.placed if each is spec)

    def _named(self, kind: type[Spec]) -> dict[str, Spec]:
        return {name_of(spec): spec for _, spec in self.placed if isinstance(spec, kind)}


@dataclass(frozen=True)
class UseCase:
    """What one use case declares."""

    name: str
    specs: Sequence[BaseModel]

    @property
    def sources(self) -> list[DeclaredSource]:
        return [spec for spec in self.specs if isinstance(spec, DeclaredSource)]

    @property
    def cut_sources(self) -> list[DeclaredSource]:
        """Those that are cut into drops."""
        return [source for source in self.sources if source.drops.grain != WHOLE]

    @property
    def views(self) -> list[DeclaredView]:
        return sorted((spec for spec in self.specs if isinstance(spec, DeclaredView)), key=lambda view: view.name)

    @property
    def models(self) -> list[DeclaredModel]:
        return sorted((spec for spec in self.specs if isinstance(spec, DeclaredModel)), key=lambda model: model.name)

    def choose_models(self, names: Iterable[str] = ()) -> list[DeclaredModel]:
        """Return the models of some names, or all; raises ValueError with the names of the models that exist."""
        declared = {model.name: model for model in self.models}
        unknown = [name for name in names if name not in declared]
        if unknown:
            there_are = ", ".join(sorted(declared)) or "none"
            raise ValueError(f"{self.name} declares no model {', '.join(unknown)}; there are {there_are}")
        return [declared[name] for name in sorted(names or declared)]
