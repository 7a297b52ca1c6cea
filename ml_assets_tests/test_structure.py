"""The structure of the package: imports between folders run one way, and a folder can be taken in at a glance.

Imports inside functions count; those for types alone, which are gone at run time, do not.
"""

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import ml_assets

ROOT = Path(ml_assets.__file__).parent
MOST_IN_A_FOLDER = 15
EXCEPTIONS = {"ml_assets": "the stages of the pipeline, one folder each, are what a reader shall see first"}


def packages(folder: Path = ROOT) -> list[str]:
    within = [path.parent for path in sorted(folder.glob("*/__init__.py"))]
    return [".".join(folder.relative_to(ROOT.parent).parts), *(name for each in within for name in packages(each))]


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("ml_assets", exclude_type_checking_imports=True, cache_dir=None)


def child_of(package: str, module: str) -> str | None:
    """The direct child of a package that a module is or lies in; the package itself for its `__init__`."""
    if module == package:
        return package
    if not module.startswith(f"{package}."):
        return None
    return f"{package}.{module[len(package) + 1 :].split('.')[0]}"


def imports_between_children(graph: grimp.ImportGraph, package: str) -> dict[tuple[str, str], list[str]]:
    """Who of a package's children imports which other, with the imports that make it so."""
    between: dict[tuple[str, str], list[str]] = {}
    for importer in {package, *graph.find_descendants(package)}:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = child_of(package, importer), child_of(package, imported)
            if None not in pair and pair[0] != pair[1]:
                between.setdefault(pair, []).append(f"{importer} imports {imported}")
    return between


def circle_in(between: dict[tuple[str, str], list[str]]) -> list[str]:
    """A circle among children, as the imports that close it; empty if there is none."""
    sorter = TopologicalSorter()
    for importer, imported in between:
        sorter.add(importer, imported)
    try:
        sorter.prepare()
    except CycleError as error:
        circle = error.args[1]
        return ["; ".join(sorted(between[pair])) for pair in zip(circle[1:], circle, strict=False)]
    return []


@pytest.mark.parametrize("package", packages())
def test_imports_between_the_children_of_a_package_run_one_way(graph, package):
    assert circle_in(imports_between_children(graph, package)) == []


@pytest.mark.parametrize("package", [name for name in packages() if name not in EXCEPTIONS])
def test_a_folder_shows_few_modules(package):
    folder = ROOT.parent.joinpath(*package.split("."))
    children = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    children += [path.parent.name for path in folder.glob("*/__init__.py")]
    assert len(children) <= MOST_IN_A_FOLDER, sorted(children)


def test_a_circle_between_folders_is_seen_through_the_modules_that_close_it():
    made_up = grimp.ImportGraph()
    for module in ("p", "p.a", "p.a.one", "p.b", "p.b.two", "p.c"):
        made_up.add_module(module)
    made_up.add_import(importer="p.a.one", imported="p.b.two")
    made_up.add_import(importer="p.c", imported="p.a.one")
    assert circle_in(imports_between_children(made_up, "p")) == []
    made_up.add_import(importer="p.b", imported="p.c")
    assert sorted(circle_in(imports_between_children(made_up, "p"))) == [
        "p.a.one imports p.b.two",
        "p.b imports p.c",
        "p.c imports p.a.one",
    ]
