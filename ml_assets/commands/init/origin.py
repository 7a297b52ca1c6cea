"""Where the installed platform came from, so that a new project can be resolved against the same."""

import json
from importlib.metadata import Distribution, distribution, distributions
from urllib.parse import unquote, urlparse

PLATFORM = "ml_assets"

_TABLE = """
[tool.uv.sources]
# What this project was made with; leave it out once an index of yours has it.
"""


def uv_source(platform: Distribution | None = None) -> str:
    """Return the `[tool.uv.sources]` table that names the folder, file, URL or commit of the installed platform.

    It is empty for a platform that came from an index, where uv finds it by name. PEP 610 says how an installer
    records the origin.
    """
    recorded = (platform or _installed()).read_text("direct_url.json")
    if recorded is None:
        return ""
    origin = json.loads(recorded)
    fields = ", ".join(f"{key} = {json.dumps(value)}" for key, value in _fields(origin).items())
    return f"{_TABLE}{PLATFORM} = {{ {fields} }}\n"


def _installed() -> Distribution:
    """Return the installed platform: what an installer wrote, before what a build left beside the sources."""
    installed = [each for each in distributions(name=PLATFORM) if each.read_text("INSTALLER") is not None]
    return installed[0] if installed else distribution(PLATFORM)


def _fields(origin: dict) -> dict[str, str | bool]:
    url = origin["url"]
    if "vcs_info" in origin:
        return {"git": url, "rev": origin["vcs_info"]["commit_id"]}
    if not url.startswith("file:"):
        return {"url": url}
    editable = {"editable": True} if origin.get("dir_info", {}).get("editable") else {}
    return {"path": unquote(urlparse(url).path), **editable}
