"""The tree of a project's declarations, which tells of a wrong one by file, line and field."""

import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any, Protocol, TypeVar, cast

import dagster as dg
import yaml
from pydantic import BaseModel

import ml_assets
from ml_assets.components.project.plain_text import with_plain_text
from ml_assets.dagster_internals import (
    ComponentDecl,
    ComponentDeclLoadContext,
    ComponentLoaderDecl,
    ComponentPath,
    ComponentRootLoc,
    ComponentTreeException,
    DagsterUnresolvableSymbolError,
    DefsFolderDecl,
    YamlDecl,
    build_filesystem_component_decl_from_context,
    parse_yamls_with_source_position,
)
from ml_assets.declarations.problems import DeclarationError, FieldProblem, Path, problem_of, problems_of
from ml_assets.declarations.project import DeclaredProject
from ml_assets.declarations.user_code import blame
from ml_assets.home import Home
from ml_assets.settings import read_settings

_LINE = "_ml_assets_line"

Declared = TypeVar("Declared", bound=BaseModel)
Part = TypeVar("Part")


class NamedDeclaration(Protocol):
    """A component with the name that it is declared under."""

    name: str


def declare(module: str, *components: dg.Component) -> None:
    """Declare components made in Python: ``declare(__name__, MLModel(name=..., ...))`` in a file under ``defs/``.

    Args:
        module: name of the module that declares them.

    Raises:
        DeclarationError: the module has something of the same name already.
    """
    line = sys._getframe(1).f_lineno
    namespace = sys.modules[module]
    for component in components:
        name = cast("NamedDeclaration", component).name
        if hasattr(namespace, name):
            raise DeclarationError(f"{namespace.__file__}:{line}: name: {name!r} is there already")
        setattr(namespace, name, _loader(component, line))


def _loader(component: dg.Component, line: int) -> Callable:
    def load(context: dg.ComponentLoadContext) -> dg.Component:  # noqa: ARG001
        return component

    # Dagster tells the type of a component that is not loaded yet by what its function says it returns.
    load.__annotations__["return"] = type(component)
    setattr(load, _LINE, line)
    return dg.component_instance(load)


@dataclass(frozen=True)
class Placed:
    """A component and where it is declared."""

    component: dg.Component
    use_case: str
    where: Callable[[Path], str]

    def error(self, *messages: str) -> DeclarationError:
        """Return the error for messages that each begin with the path of a field and a colon."""
        text = "\n".join(problem_of(message).describe(self.where) for message in messages)
        return DeclarationError(text, {self.use_case: text})


class ProjectTree(dg.ComponentTree):
    """Dagster's tree of declarations; its errors about them are one line each."""

    def placed(self) -> Iterator[Placed]:
        """Yield every component of the project with the place of its declaration."""
        for loc, decl in self._component_decl_tree().items():
            if isinstance(decl, YamlDecl | ComponentLoaderDecl):
                context = decl.context
                use_case = context.path.relative_to(context.defs_module_path).parts[0]
                yield Placed(self.load_component(loc), use_case, self._place_of(decl))

    @contextmanager
    def augment_component_tree_exception(self, loc: Any, msg_for_key: Callable[[str], str]) -> Iterator[None]:
        try:
            with super().augment_component_tree_exception(loc, msg_for_key):
                yield
        except ComponentTreeException as error:
            cause = error.__cause__
            if isinstance(cause, DeclarationError):
                raise cause from None
            decl = self._component_decl_tree().get(self._resolve_to_loc(loc))
            if not isinstance(cause, ValueError) or not isinstance(decl, YamlDecl | ComponentLoaderDecl):
                raise
            lines = "\n".join(problem.describe(self._place_of(decl)) for problem in _problems(cause, decl))
            raise DeclarationError(lines, by_use_case([(self._use_case_of(File(decl.context.path)), lines)])) from None

    @property
    def decl_load_context(self) -> ComponentDeclLoadContext:
        context = super().decl_load_context
        plain = with_plain_text(context)
        if plain is not context:
            self.state_tracker.set_cache_data(ComponentRootLoc(), decl_load_context=plain)
        return plain

    def find_root_decl(self):
        try:
            return super().find_root_decl()
        except yaml.MarkedYAMLError as error:
            mark = _required(error.problem_mark, "place")
            text = f"{self._shown(mark.name)}:{mark.line + 1}: no YAML: {error.problem}"
            raise DeclarationError(text, by_use_case([(self._use_case_of(File(mark.name)), text)])) from None
        except DagsterUnresolvableSymbolError as error:
            unknown = list(self._unknown_types())
            if not unknown:
                raise
            raise DeclarationError("\n".join(text for _, text in unknown), by_use_case(unknown)) from error
        except DeclarationError as error:
            raise self._in_use_case(error, str(error)) from None
        except Exception as error:
            text = blame(error, self.project_root)
            if text is None:
                raise
            raise self._in_use_case(error, text) from None

    def _get_filesystem_decl(self) -> ComponentDecl:
        """Return what the folders under ``defs/`` declare, without those that are left out."""
        loc = ComponentPath.from_path(self.defs_module_path)
        if not self.left_out or self.state_tracker.get_cache_data(loc).component_decl is not None:
            return super()._get_filesystem_decl()
        context = self.decl_load_context.for_component_loc(loc)
        children = {}
        for path in sorted(self.defs_module_path.iterdir()):
            ignored = path.name == "__pycache__" or (path.name.startswith(".") and path.is_dir())
            if ignored or path.name in self.left_out:
                continue
            within = context.for_component_loc(ComponentPath.from_path(path))
            if decl := build_filesystem_component_decl_from_context(within):
                children[path] = decl
        decl = DefsFolderDecl(context=context, loc=loc, children=children, source_tree=None, component_file_model=None)
        self.state_tracker.set_cache_data(loc, component_decl=decl)
        return decl

    @property
    def left_out(self) -> Mapping[str, str]:
        """Use cases that are not loaded, and what is wrong with each."""
        return self.__dict__.get("_left_out", {})

    def leave_out(self, use_cases: Mapping[str, str]) -> None:
        """Load without some use cases, saying what is wrong with each; to be called before anything is loaded."""
        self.__dict__["_left_out"] = dict(use_cases)

    @property
    def home(self) -> Home:
        """Where state lies; in the project's folder unless it was told where."""
        return self.__dict__.get("_home") or Home.under(self.project_root / ".ml_assets")

    def keep_state_in(self, home: Home) -> None:
        """Set where state lies, for declarations that name it; to be called before anything is loaded."""
        self.__dict__["_home"] = home

    def _use_case_of(self, file: File) -> str | None:
        return file.relative_to(self.defs_module_path).parts[0] if file.is_relative_to(self.defs_module_path) else None

    def _in_use_case(self, error: Exception, text: str) -> DeclarationError:
        """Return the error of the use case whose file was being imported."""
        files = [File(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            files.append(File(error.filename))
        use_cases = [use_case for file in files if (use_case := self._use_case_of(file))]
        return DeclarationError(text, {use_cases[0]: text} if use_cases else None)

    def _place_of(self, decl: ComponentDecl) -> Callable[[Path], str]:
        file = File(decl.context.path)
        if isinstance(decl, YamlDecl):
            tree = _required(decl.source_tree, "source").source_position_tree
            written = tree.children.get("attributes", tree)
            return lambda path: (
                f"{self._shown(tree.position.filename)}:{written.lookup_closest_and_path(path, None)[0].start.line}"
            )
        made_by = cast("ComponentLoaderDecl", decl).component_node_fn
        line = getattr(made_by, _LINE, None) or inspect.unwrap(made_by).__code__.co_firstlineno
        # One line of a loop declares many: the name tells which.
        name = cast("ComponentPath", decl.loc).instance_key
        return lambda path: f"{self._shown(file)}:{line}: {name}"  # noqa: ARG005

    def _shown(self, file: str | File) -> str:
        path = File(file)
        return str(path.relative_to(self.project_root) if path.is_relative_to(self.project_root) else path)

    def _unknown_types(self) -> Iterator[tuple[str | None, str]]:
        """Yield a line for each component of this package that is declared and does not exist, and its use case."""
        for file in sorted(self.defs_module_path.rglob("defs.yaml")):
            for document in parse_yamls_with_source_position(file.read_text(encoding="utf-8"), str(file)):
                named = str(document.value.get("type", ""))
                package, _, name = named.rpartition(".")
                if package == ml_assets.__name__ and name not in ml_assets.COMPONENTS:
                    line = _required(document.source_position_tree.lookup(["type"]), "type").start.line
                    there = ", ".join(ml_assets.COMPONENTS)
                    text = f"{self._shown(file)}:{line}: type: {package} has no component {name!r}; there are {there}"
                    yield self._use_case_of(file), text


def read_tree(within: File, home: Home | None = None) -> DeclaredProject:
    """Read what the project that a path lies in declares; no definitions are made.

    Raises:
        DeclarationError: a declaration is wrong.
    """
    tree = ProjectTree.for_project(within)
    if home is not None:
        tree.keep_state_in(home)
    return DeclaredProject(
        [(placed.use_case, placed.component) for placed in tree.placed() if isinstance(placed.component, BaseModel)]
    )


def home_of(context: dg.ComponentLoadContext) -> Home:
    """Return where the state of the project lies that a component is loaded for.

    Where the components are loaded by Dagster's own functions instead of `ml_assets.project`, nobody has read the
    settings before: then this is the edge that does.
    """
    tree = context.component_tree
    return tree.home if isinstance(tree, ProjectTree) else Home.of(read_settings(), context.project_root)


def _required(part: Part | None, what: str) -> Part:
    """Return a part that Dagster keeps of every declaration in a file; raises LookupError if it is None."""
    if part is None:
        raise LookupError(f"Dagster keeps no {what} of a declaration that it has read")
    return part


def declarations_of(tree: dg.ComponentTree, kind: type[Declared]) -> list[Declared]:
    """Return every component of a project that declares what `kind` declares; no other is loaded."""
    components: Any = tree.get_all_components(of_type=cast("Any", kind))
    return list(components)


def by_use_case(lines: Sequence[tuple[str | None, str]]) -> dict[str, str] | None:
    """Join the lines of each use case; None if a line belongs to none."""
    together: dict[str, list[str]] = {}
    for use_case, text in lines:
        if use_case is None:
            return None
        together.setdefault(use_case, []).append(text)
    return {use_case: "\n".join(dict.fromkeys(texts)) for use_case, texts in together.items()}


def _problems(cause: ValueError, decl: ComponentDecl) -> list[FieldProblem]:
    declared = decl.component_type
    given = _required(decl.component_file_model, "content").attributes if isinstance(decl, YamlDecl) else None
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        return problems_of(cause, declared, given)
    return [problem_of(str(cause))]
