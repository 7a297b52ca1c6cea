"""NamedDeclarations of one kind, by name."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel

from ml_assets.public.display import html_table, text_table
from ml_assets.public.unknown import unknown_name

Spec = TypeVar("Spec", bound=BaseModel)


class NamedDeclarations(Mapping[str, Spec], Generic[Spec]):
    """Everything of one kind that a project declares: name -> declaration.

    Args:
        kind: what one of them is called, such as ``feature view``.
        use_case_of: tells the use case of a declaration.
        faults: lines about what could not be read.
    """

    def __init__(
        self, kind: str, named: Mapping[str, Spec], use_case_of: Callable[[BaseModel], str], faults: Sequence[str] = ()
    ) -> None:
        self._kind = kind
        self._named = dict(sorted(named.items()))
        self._use_case_of = use_case_of
        self._faults = faults

    def __getitem__(self, name: str) -> Spec:
        try:
            return self._named[name]
        except KeyError:
            raise unknown_name(self._kind, name, self._named, self._faults) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)

    def __repr__(self) -> str:
        counted = f"{len(self)} {self._kind}{'' if len(self) == 1 else 's'}"
        return "\n".join(part for part in (counted, text_table(self._rows())) if part)

    def _repr_html_(self) -> str:
        return html_table((self._kind, "use case", "description"), self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (name, self._use_case_of(spec), getattr(spec, "description", "") or getattr(spec, "table", ""))
            for name, spec in self._named.items()
        ]
