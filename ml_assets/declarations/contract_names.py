"""Whether a contract that is named is there: told from the source of its module, which importing takes seconds for."""

import ast
import importlib.util
from collections.abc import Iterator
from difflib import get_close_matches


def contract_fault(reference: str) -> str | None:
    """Return why no contract can be at ``package.module:Class``; None where there is one, or where only importing the
    module could tell.
    """
    module, _, name = reference.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        spec = None
    if spec is None:
        return f"{reference!r}: there is no module {module}; write the contract as 'package.module:Class'"
    if spec.origin is None or not spec.origin.endswith(".py"):
        return None
    with open(spec.origin, encoding="utf-8") as file:
        source = file.read()
    try:
        names = {*_bound(ast.parse(source).body)}
    except SyntaxError:
        return None  # importing it says where
    if name in names or "*" in names or "__getattr__" in names:
        return None
    close = get_close_matches(name, names, n=1)
    return f"{reference!r}: module {module} has no {name}" + (f"; did you mean {close[0]}?" if close else "")


def _bound(statements: list[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements of a module bind; ``*`` where one binds names that only another module tells."""
    for node in (each for statement in statements for each in ast.walk(statement)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("globals", "setattr"):
            yield "*"
