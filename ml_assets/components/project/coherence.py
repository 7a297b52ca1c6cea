"""The declarations of a project checked against one another, when one of them or a contract has changed.

Contracts need Pandera, which takes as long to import as all declarations take to load.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from ml_assets import __version__
from ml_assets.components.project.tree import Placed, ProjectTree, by_use_case
from ml_assets.declarations.coherence.problems import problems_among
from ml_assets.declarations.coherence.tables import CHECKED, DeclaredTables, PlacedDeclaration
from ml_assets.declarations.problems import DeclarationError
from ml_assets.declarations.specs import DeclaredSource, DeclaredSpine

COLUMN_SCHEMA = "dagster/column_schema"


def check_coherence(tree: ProjectTree, specs: Sequence[dg.AssetSpec], passed: Path) -> None:
    """Raise DeclarationError with a line for each point in which declarations contradict each other.

    Args:
        specs: every asset of the project.
        passed: file that keeps the fingerprint of the last declarations that were coherent.
    """
    declared = list(tree.placed())
    fingerprint = _fingerprint(declared, specs)
    if passed.exists() and passed.read_text() == fingerprint:
        return
    placed_declarations = [PlacedDeclaration(placed.component, placed.use_case) for placed in declared]
    tables = DeclaredTables(placed_declarations, {spec.key.to_user_string(): _documented(spec) for spec in specs})
    lines = [
        (placed.use_case, str(placed.error(message)))
        for placed, declaration in zip(declared, placed_declarations, strict=True)
        for message in problems_among(tables, declaration)
    ]
    if lines:
        raise DeclarationError("\n".join(dict.fromkeys(text for _, text in lines)), by_use_case(lines))
    passed.parent.mkdir(parents=True, exist_ok=True)
    passed.write_text(fingerprint)


def _fingerprint(declared: Sequence[Placed], specs: Sequence[dg.AssetSpec]) -> str:
    digest, contracts = hashlib.sha256(__version__.encode()), set()
    for placed in declared:
        digest.update(type(placed.component).__name__.encode())
        digest.update(placed.component.model_dump_json().encode() if isinstance(placed.component, CHECKED) else b"")
        if isinstance(placed.component, DeclaredSource | DeclaredSpine) and placed.component.contract:
            contracts.add(placed.component.contract.partition(":")[0].partition(".")[0])
    for package in sorted(contracts):
        digest.update(_code_of(package))
    for spec in specs:
        digest.update(f"{spec.key.path}{_documented(spec)}".encode())
    return digest.hexdigest()


def _code_of(package: str) -> bytes:
    """Digest a package that holds contracts, since a contract may be made of other modules' classes and checks."""
    digest, package_spec = hashlib.sha256(), importlib.util.find_spec(package)
    if package_spec is None:
        return b"none"
    folders = list(package_spec.submodule_search_locations or ())
    files = (
        [path for folder in folders for path in Path(folder).rglob("*.py")]
        if folders
        else [Path(package_spec.origin or "")]
    )
    for path in sorted(files):
        digest.update(f"{path}\n".encode())
        digest.update(path.read_bytes())
    return digest.digest()


def _documented(spec: dg.AssetSpec) -> list[str] | None:
    schema: Any = spec.metadata.get(COLUMN_SCHEMA)
    schema = schema.schema if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    return None if schema is None else [column.name for column in schema.columns]
