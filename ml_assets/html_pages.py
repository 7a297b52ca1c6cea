"""Pages that stand alone: a Jinja template in a package, with a style sheet of its own beside it."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template

PAGE = "page.html.j2"
"""The template; it includes ``page.css`` of the same folder."""


@cache
def page_template(package: str, number: Callable[..., str]) -> "Template":
    """Load the page of a package; an undefined name in it is an error.

    Args:
        package: import path of the package that holds the page and its style sheet.
        number: how the template's filter ``number`` writes a number.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    parent, _, folder = package.rpartition(".")
    environment = Environment(
        loader=PackageLoader(parent, folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment.get_template(PAGE)
