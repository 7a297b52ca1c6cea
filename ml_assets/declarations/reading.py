"""A project's declarations read as plain specs: without Dagster, which takes longer to import than a table to read.

It finds them where Dagster does: a folder under ``defs/`` with a ``defs.yaml`` is declared by it, and by nothing else
in it; any other folder by the Python files and folders in it. What only Dagster can read raises ``NeedsDagster``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ml_assets.code_version import DeclaringProject
from ml_assets.declarations.contract_names import contract_fault
from ml_assets.declarations.problems import DeclarationError, FieldProblem, Path, problems_of
from ml_assets.declarations.python_files import NeedsDagster, make_importable, module_of, read_python_file
from ml_assets.declarations.specs import SPECS, name_of
from ml_assets.declarations.user_code import blame

_YAML_NAMES = ("defs.yaml", "defs.yml", "component.yaml")
_PREFIX = "ml_assets."


@dataclass(frozen=True)
class Declaration:
    """One declared thing: its fields, the use case whose folder it lies in, and where a field of it stands."""

    spec: BaseModel
    use_case: str
    where: Callable[[Path], str]

    def describe(self, message: str, path: Path = ()) -> str:
        """Return a message about a field, with its file and line."""
        return FieldProblem(path, message).describe(self.where)


@dataclass(frozen=True)
class Fault:
    """What cannot be read: one line, or some, each with file and line."""

    use_case: str
    message: str


@dataclass(frozen=True)
class ProjectDeclarations:
    """What a project declares, and what of it cannot be read."""

    declarations: list[Declaration] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_declarations(project: DeclaringProject) -> ProjectDeclarations:
    """Return every declaration of a project; one that is wrong is a fault, and the others are read all the same.

    Raises:
        NeedsDagster: there is something that only Dagster can read.
    """
    root = project.folder / project.package / "defs"
    if not root.is_dir():
        raise NeedsDagster(str(root))
    make_importable(project)
    reader = _Reader(project, root)
    for path in _members(root):
        reader.read(path, path.name)
    return _without_twins(reader.declared)


class _Reader:
    def __init__(self, project: DeclaringProject, root: File) -> None:
        self._project, self._root = project, root
        self.declared = ProjectDeclarations()

    def read(self, path: File, use_case: str) -> None:
        written = next((path / name for name in _YAML_NAMES if (path / name).exists()), None)
        if written is not None:
            self._read_yaml(written, use_case)
        elif path.suffix == ".py":
            self._read_python(path, use_case)
        elif path.is_dir():
            for member in _members(path):
                self.read(member, use_case)

    def _read_yaml(self, file: File, use_case: str) -> None:
        from dagster_shared.yaml_utils import parse_yamls_with_source_position

        shown = file.relative_to(self._project.folder)
        try:
            documents = list(parse_yamls_with_source_position(file.read_text(encoding="utf-8"), str(shown)))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            self._fault(use_case, f"{shown}:{line}: no YAML: {error.problem}")
            return
        for document in documents:
            self._read_document(document, use_case)

    def _read_document(self, document: Any, use_case: str) -> None:
        given = document.value
        if not isinstance(given, dict) or not set(given) <= {"type", "attributes", "requirements"}:
            raise NeedsDagster(str(document.source_position_tree.position))
        named = str(given.get("type", ""))
        if named.removeprefix(_PREFIX) not in SPECS or not named.startswith(_PREFIX):
            raise NeedsDagster(named)
        attributes = given.get("attributes") or {}
        if "{{" in str(attributes):
            raise NeedsDagster("a template")
        tree = document.source_position_tree
        written = tree.children.get("attributes", tree)

        def where(path: Path) -> str:
            position = written.lookup_closest_and_path(path, None)[0]
            return f"{position.filename}:{position.start.line}"

        spec = SPECS[named.removeprefix(_PREFIX)]
        try:
            self._add(Declaration(spec.model_validate(attributes), use_case, where))
        except ValidationError as error:
            for problem in problems_of(error, spec, None):
                self._fault(use_case, problem.describe(where))

    def _add(self, declaration: Declaration) -> None:
        """Add a declaration; a contract that is not there is a fault, and hides neither it nor those that name it."""
        self.declared.declarations.append(declaration)
        contract = getattr(declaration.spec, "contract", "")
        if wrong := contract and contract_fault(contract):
            self._fault(declaration.use_case, declaration.describe(wrong, ("contract",)))

    def _read_python(self, file: File, use_case: str) -> None:
        package = f"{self._project.package}.defs"
        try:
            declared = read_python_file(module_of(file, self._root, package), package)
        except NeedsDagster:
            raise
        except Exception as error:
            message = str(error) if isinstance(error, DeclarationError) else blame(error, self._project.folder)
            if message is None:
                raise
            self._fault(use_case, message)
            return
        shown = file.relative_to(self._project.folder)
        for spec, line in declared:
            where = _always(f"{shown}:{line}: {name_of(spec)}")
            self._add(Declaration(spec, use_case, where))

    def _fault(self, use_case: str, message: str) -> None:
        self.declared.faults.append(Fault(use_case, message))


def _always(place: str) -> Callable[[Path], str]:
    return lambda _: place


def _members(folder: File) -> Iterator[File]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.is_dir()
        if not hidden and path.name != "__pycache__":
            yield path


def _without_twins(declared: ProjectDeclarations) -> ProjectDeclarations:
    """Return the declarations without those that share a kind and a name, which become faults instead."""
    named: dict[tuple[type, str], list[Declaration]] = {}
    for declaration in declared.declarations:
        name = getattr(declaration.spec, "name", None)
        named.setdefault((type(declaration.spec), name or str(id(declaration))), []).append(declaration)
    twins = [declaration for many in named.values() if len(many) > 1 for declaration in many]
    faults = [
        Fault(
            declaration.use_case,
            declaration.describe(
                f"{name_of(declaration.spec)!r} is declared {_times(named, declaration)} times", ("name",)
            ),
        )
        for declaration in twins
    ]
    kept = [declaration for declaration in declared.declarations if not any(declaration is twin for twin in twins)]
    return ProjectDeclarations(kept, declared.faults + faults)


def _times(named: dict[tuple[type, str], list[Declaration]], declaration: Declaration) -> int:
    return len(named[type(declaration.spec), name_of(declaration.spec)])
