"""Pages that are made from the code while the documentation is built; none of them is kept."""

from pathlib import PurePosixPath

import api_pages
import command_pages
import field_pages
import repository_pages
import setting_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    **repository_pages.pages(),
    **api_pages.pages(),
    "reference/commands.md": command_pages.render(),
    "reference/declarations.md": field_pages.render(),
    "reference/settings.md": setting_pages.render(),
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API's pages into the table of contents."""
    next(part for part in config.nav or [] if "API" in part)["API"] = api_pages.nav()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    for uri, text in PAGES.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Let a guide link to the documents beside it as it does in the repository."""
    return markdown if page.file.src_uri in PAGES else repository_pages.fit(markdown, PurePosixPath("docs"))
