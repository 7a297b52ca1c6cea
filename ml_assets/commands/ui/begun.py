"""The use cases that were run in a home, and those that wait."""

from collections.abc import Sequence

from ml_assets.declarations.project import DeclaredProject
from ml_assets.lake import Lake


def split_by_begun(declared: DeclaredProject, lake: Lake, wanted: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Split the use cases with sources whose drops are to be looked for, and those that wait.

    Args:
        wanted: those that are; empty for those that hold rows already, or all where none does.

    Raises:
        ValueError: one that is wanted is not declared, or declares no source.
    """
    broken = {fault.use_case for fault in declared.faults}
    sources = {name: declared.only(name).sources for name in declared.use_cases if name not in broken}
    there = [name for name, own in sources.items() if own]
    for name in wanted:
        if name not in there:
            declared.only(name)
            raise ValueError(f"use case {name} declares no source; those that do are {', '.join(there) or 'none'}")
    begun = [name for name in there if any(lake.exists(source.table("raw")) for source in sources[name])]
    watched = list(wanted) or begun or there
    return watched, [name for name in there if name not in watched]
