"""``keys new``, ``keys list`` and ``keys revoke``."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ml_assets.commands.options import Json
from ml_assets.commands.session import session_of

keys = typer.Typer(
    no_args_is_help=True,
    help="Keys of whoever may use a server: each with a name and what it allows. Servers see a change within a second. "
    "Once there was a key, nobody is let in without one.",
)

KeyName = Annotated[str, typer.Argument(help="Who holds the key: stands in logs and the audit.")]


@keys.command("new")
def new_key(
    context: typer.Context,
    name: KeyName,
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="predict, push, read (models, metrics, description) or admin (all); may be given several times. "
            "Default: predict and read."
        ),
    ] = None,
    per_minute: Annotated[
        int,
        typer.Option(help="Requests that it may make in a minute; 0 for any number.", min=0),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Make a key and print it, once: the file keeps its SHA-256 alone."""
    import json

    from ml_assets.serving.access.audit import AuditTrail
    from ml_assets.serving.access.scopes import SCOPES, Scope

    session = session_of(context)
    home = session.prepare_home()
    wanted = scope or ["predict", "read"]
    scopes: list[Scope] = [each for each in SCOPES if each in wanted]
    if unknown := [each for each in wanted if each not in SCOPES]:
        raise ValueError(f"--scope {unknown[0]!r} must be one of {', '.join(SCOPES)}")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    key, secret = session.open_keys(home).add(name, scopes, per_minute=per_minute, made_at=at)
    AuditTrail(home.audit).record({"at": at, "made": key.name, "scopes": key.scopes, "per_minute": key.per_minute})
    if as_json:
        typer.echo(json.dumps({**key.model_dump(mode="json"), "key": secret}))
    else:
        typer.echo(f"{key.name} may {', '.join(key.scopes)}; the key is shown this once:", err=True)
        typer.echo(secret)


@keys.command("list")
def list_keys(context: typer.Context, as_json: Json = False) -> None:
    """List the keys that are let in: names, what they allow, and their digests, no key."""
    import json

    session = session_of(context)
    known = session.open_keys(session.open_home()).read()
    if as_json:
        typer.echo(json.dumps({"keys": [key.model_dump(mode="json") for key in known]}))
        return
    for key in known:
        pace = f"{key.per_minute} a minute" if key.per_minute else "any number"
        typer.echo(
            f"{key.name}: {', '.join(key.scopes)}; {pace}; made {key.made_at or 'by hand'}; {key.digest[:12]}..."
        )


@keys.command("revoke")
def revoke_key(context: typer.Context, name: KeyName, as_json: Json = False) -> None:
    """Let a key in no more."""
    import json

    from ml_assets.serving.access.audit import AuditTrail

    session = session_of(context)
    home = session.prepare_home()
    key = session.open_keys(home).remove(name)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    AuditTrail(home.audit).record({"at": at, "revoked": key.name, "digest": key.digest})
    typer.echo(json.dumps({"revoked": key.name}) if as_json else f"{key.name} is let in no more")


@keys.command("remove-all")
def remove_all_keys(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove all keys, so that a server which starts from now on lets everybody in."""
    import json

    from ml_assets.serving.access.audit import AuditTrail

    session = session_of(context)
    home = session.prepare_home()
    file = session.open_keys(home)
    if not yes:
        typer.confirm(
            f"Remove {file.path}? Whoever reaches a server that starts then is let in without a key", abort=True
        )
    file.remove_all()
    at = datetime.now(UTC).isoformat(timespec="seconds")
    AuditTrail(home.audit).record({"at": at, "removed_all": str(file.path)})
    gone = f"{file.path} is gone: servers that start from now on let everybody in; those that run keep its keys"
    typer.echo(json.dumps({"removed_all": str(file.path)}) if as_json else gone)
