"""The declaration of a use case's SQL models, inferred from the dbt project and the sources."""

from pathlib import Path
from typing import Any

from ml_assets.scaffolding.declared import ExistingDeclarations
from ml_assets.scaffolding.errors import ScaffoldError
from ml_assets.sources.drops.grains import WHOLE


def infer_tables(declared: ExistingDeclarations, root: Path, project: str, folder: str) -> dict[str, Any]:
    """Return the fields of the declaration: the drops are those of the use case's sources.

    Args:
        root: the project's folder.
        project, folder: of dbt, relative to the root, and of the models in it.

    Raises:
        ScaffoldError: there is no such dbt project, or no model in the folder.
    """
    if not (root / project / "dbt_project.yml").exists():
        raise ScaffoldError(f"--project: there is no dbt project {project} in {root}: `dbt init` makes one")
    models = root / project / folder
    if not any(models.rglob("*.sql")) and not any(models.rglob("*.py")):
        there = sorted({file.parent.relative_to(root / project).as_posix() for file in (root / project).rglob("*.sql")})
        raise ScaffoldError(f"--folder: {folder} holds no model; there are models in {', '.join(there) or 'none'}")
    cut = [declared.sources[name] for name in declared.here("source") if declared.sources[name].drops.grain != WHOLE]
    drops = cut[0].drops.model_dump(include={"grain", "start", "end"}, exclude_none=True) if cut else None
    return {"project": project, "select": f"path:{folder}", "folder": folder, **({"drops": drops} if drops else {})}
