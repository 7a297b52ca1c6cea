"""Prints what a project declares as it is read without Dagster: to be run by a process of its own."""

import json
import sys
from pathlib import Path

from ml_assets.code_version import project_of
from ml_assets.declarations.reading import read_declarations


def main() -> None:
    found = read_declarations(project_of(Path(sys.argv[1])))
    told = [
        [one.use_case, type(one.spec).__name__, one.spec.model_dump(mode="json"), one.where(("name",))]
        for one in found.declarations
    ]
    faults = [[fault.use_case, fault.message] for fault in found.faults]
    print(json.dumps({"declared": told, "faults": faults, "dagster": "dagster" in sys.modules}))  # noqa: T201


if __name__ == "__main__":
    main()
