"""Prints what each project declares as it is read without Dagster: to be run by a process of its own."""

import json
import sys
from pathlib import Path

from ml_assets.code_version import project_of
from ml_assets.declarations.reading import read_declarations


def told(folder: str) -> dict:
    found = read_declarations(project_of(Path(folder)))
    declared = [
        [one.use_case, type(one.spec).__name__, one.spec.model_dump(mode="json"), one.where(("name",))]
        for one in found.declarations
    ]
    faults = [[fault.use_case, fault.message] for fault in found.faults]
    return {"declared": declared, "faults": faults, "dagster": "dagster" in sys.modules}


def main() -> None:
    print(json.dumps([told(folder) for folder in sys.argv[1:]]))  # noqa: T201


if __name__ == "__main__":
    main()
