"""dbt's manifest as asset specs, translated by dagster-dbt once per state of the project.

Importing dagster-dbt costs more than importing Dagster itself, so the translation is kept beside the
manifest and definitions load from it until a file of the project changes.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

from ml_assets import __version__
from ml_assets.transform.project import DbtProject


@dataclass(frozen=True)
class DbtTest:
    """One dbt test, an asset check of the model it guards."""

    unique_id: str
    name: str
    description: str
    blocking: bool


@dataclass(frozen=True)
class DbtModel:
    """One dbt model or source as dagster-dbt's translator sees it."""

    name: str
    key: list[str]
    relation: str
    parents: list[str]
    kind: str
    description: str
    group: str | None
    owners: list[str]
    tags: dict[str, str]
    code_version: str | None
    path: str
    columns: dict[str, str] = field(default_factory=dict)
    tests: list[DbtTest] = field(default_factory=list)

    @classmethod
    def from_json(cls, record: dict) -> "DbtModel":
        return cls(**{**record, "tests": [DbtTest(**t) for t in record["tests"]]})


def dbt_specs(project: DbtProject) -> dict[str, DbtModel]:
    """Return all models and sources of the project, by dbt unique id."""
    cached = project.state / f"specs-{_state(project)}.json"
    if not cached.exists():
        specs = {uid: asdict(spec) for uid, spec in _translate(project).items()}
        written = cached.with_suffix(f".{os.getpid()}")
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(specs))
        written.replace(cached)
    return {uid: DbtModel.from_json(r) for uid, r in json.loads(cached.read_text()).items()}


def _state(project: DbtProject) -> str:
    """Return the state of the project and of the code that translates it."""
    translators = f"{project.fingerprint()} {version('dagster-dbt')} {__version__}"
    return hashlib.sha256(translators.encode()).hexdigest()[:16]


def _translate(project: DbtProject) -> dict[str, DbtModel]:
    from dagster_dbt import DagsterDbtTranslator

    manifest = project.manifest().writable_manifest().to_dict(omit_none=False)
    translator = DagsterDbtTranslator()
    nodes = {**manifest["sources"], **manifest["nodes"]}
    wanted = {uid: n for uid, n in nodes.items() if n["resource_type"] in ("model", "source")}
    return {uid: _model(translator, manifest, uid, node) for uid, node in wanted.items()}


def _model(translator, manifest: dict, unique_id: str, node: dict) -> DbtModel:
    props = translator.get_resource_props(manifest, unique_id)
    return DbtModel(
        name=node["name"],
        key=list(translator.get_asset_key(props).path),
        relation=node["relation_name"],
        parents=[p for p in manifest["parent_map"].get(unique_id, []) if not p.startswith("macro.")],
        kind=node.get("config", {}).get("materialized") or node["resource_type"],
        description=node["description"].strip(),
        group=translator.get_group_name(props),
        owners=list(translator.get_owners(props) or []),
        tags=dict(translator.get_tags(props)),
        code_version=translator.get_code_version(props),
        path=node["original_file_path"],
        columns={name: column["description"].strip() for name, column in node["columns"].items()},
        tests=[_test(manifest, t) for t in manifest["child_map"][unique_id] if _guards(manifest, t, unique_id)],
    )


def _guards(manifest: dict, test_id: str, unique_id: str) -> bool:
    if not test_id.startswith("test."):
        return False
    attached = manifest["nodes"][test_id].get("attached_node")
    return unique_id == (attached or manifest["parent_map"][test_id][0])


def _test(manifest: dict, unique_id: str) -> DbtTest:
    node = manifest["nodes"][unique_id]
    blocking = (node["config"]["severity"] or "error").lower() == "error"
    return DbtTest(unique_id, node["name"], node["description"] or node["name"].replace("_", " "), blocking)
