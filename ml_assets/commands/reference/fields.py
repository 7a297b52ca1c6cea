"""``fields``."""

from typing import Annotated

import typer


def fields(
    name: Annotated[str, typer.Argument(help="Type to explain, such as Outcome; default: list the types.")] = "",
) -> None:
    """Print every field of a type of declaration as YAML: what it means, its default, and what it may be."""
    from ml_assets.declarations.specs import SPECS
    from ml_assets.scaffolding.document import render_fields

    wanted = name.removeprefix("ml_assets.")
    if not wanted:
        width = max(map(len, SPECS))
        for each, spec in sorted(SPECS.items()):
            typer.echo(f"{each:{width}}  {(spec.__doc__ or '').partition(chr(10))[0]}")
        return
    if wanted not in SPECS:
        raise ValueError(f"there is no type {name}; there are {', '.join(sorted(SPECS))}")
    typer.echo(render_fields(f"ml_assets.{wanted}", SPECS[wanted]), nl=False)
