"""Text in a declaration means itself."""

from dataclasses import replace
from typing import Any

from ml_assets.dagster_internals import ComponentDeclLoadContext, ResolutionContext

_TEMPLATE_MARKS = ("{{", "{%", "{#")


class PlainText(ResolutionContext):
    """Resolves templates only.

    Dagster renders every text with Jinja's native types, which read it as Python afterwards: the column `"select"`
    would lose its quotes, the null value `1.0` become a number.
    """

    def _resolve_inner_value(self, val: Any) -> Any:
        if isinstance(val, str) and not any(mark in val for mark in _TEMPLATE_MARKS):
            return val
        return super()._resolve_inner_value(val)


def with_plain_text(context: ComponentDeclLoadContext) -> ComponentDeclLoadContext:
    """Return the context of a file whose values stay plain text: only its templates are resolved."""
    given = context.resolution_context
    if isinstance(given, PlainText):
        return context
    plain = PlainText(
        scope=given.scope, path=given.path, source_position_tree=given.source_position_tree, stash=given.stash
    )
    return replace(context, resolution_context=plain)
