"""Arguments and options that several commands have."""

from typing import Annotated

import typer

UseCase = Annotated[str, typer.Argument(help="Folder under defs/ that declares the use case.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Port = Annotated[int, typer.Option(help="Port to listen on.")]
Models = Annotated[list[str] | None, typer.Option(help="Only this model of the use case; may be given several times.")]
Host = Annotated[str, typer.Option(help="Address to bind to.")]
