"""``init``."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="New folder; its name becomes the package's.")],
    example: Annotated[str, typer.Option(help="Use case that ships with the platform, to begin with.")] = "",
) -> None:
    """Create a project: a folder to declare sources, features and models in, with `dg scaffold defs`."""
    from ml_assets.commands.init.project import create_project

    created = create_project(folder, example)
    typer.echo("\n".join(str(file) for file in created))
    if example:
        typer.echo(f"\nNext: cd {folder}; uv run ml-assets run {example} --help")
    else:
        typer.echo(f"\nNext: cd {folder}; dg scaffold defs ml_assets.Source {folder.name}/my_table --path FILE")
