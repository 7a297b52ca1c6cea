"""The documentation builds without a warning, links to what is there, fetches nothing, and says all there is to say."""

import importlib
import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urldefrag

import click
import pytest
import typer

from ml_assets.cli import app
from ml_assets.declarations.specs import SPECS
from ml_assets_tests import processes

PROJECT = Path(__file__).parents[2]
LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src")}


@pytest.fixture(scope="module")
def made_from_code():
    """Imports a module that makes pages from the code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PROJECT / "docs/site")
        yield importlib.import_module


def commands(group, path=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def test_every_command_is_shown_with_each_parameter_described(made_from_code):
    page = made_from_code("command_pages").render()
    shown = {part.splitlines()[0]: part for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]}
    declared = dict(commands(typer.main.get_command(app)))
    assert set(shown) == {" ".join(["ml-assets", *path]) for path in declared}
    for path, command in declared.items():
        rows = re.findall(r"^\| `(.+)` \| (.*) \| (.*) \|$", shown[" ".join(["ml-assets", *path])], re.MULTILINE)
        assert len(rows) == len([p for p in command.params if p.name != "help"])
        assert all(what for _, _, what in rows), rows


def test_every_field_of_a_declaration_is_shown_and_described(made_from_code):
    page = made_from_code("field_pages").render()
    shown = {part.split(" {#")[0]: part for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]}
    assert set(shown) == set(SPECS)
    for name, spec in SPECS.items():
        own = shown[name].split("\n### ")[0]
        fields = re.findall(r"^\| `(\w+)` \| (.+) \| (.*) \| (.*) \|$", own, re.MULTILINE)
        assert [field for field, *_ in fields] == list(spec.model_fields)
        assert all(what for *_, what in fields)
    anchors = set(re.findall(r"\{#([\w-]+)\}", page))
    assert set(re.findall(r"\]\(#([\w-]+)\)", page)) <= anchors


def test_links_of_a_document_fit_its_place_on_the_site(made_from_code):
    fit = made_from_code("repository_pages").fit
    text = (
        "[guide](docs/serving.md#tls) ![graph](docs/graph.png) [words](CHANGELOG.md#top) "
        "[code](ml_assets/lake/delta.py) [toy](ml_assets_tests/lake/toy.py) "
        "[`ext`](ml_assets/extensions.py) [there](https://example.org/x.md) [here](#start)"
    )
    assert fit(text, PurePosixPath()) == (
        "[guide](serving.md#tls) ![graph](graph.png) [words](changelog.md#top) "
        "[code](api/ml_assets.lake.md#ml_assets.lake.delta) toy "
        "[`ext`](api/ml_assets.md#ml_assets.extensions) [there](https://example.org/x.md) [here](#start)"
    )
    assert fit("[start](../README.md)", PurePosixPath("benchmarks")) == "[start](index.md)"


class Page(HTMLParser):
    """What a page links to, loads, and can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.anchors.update(value for name, value in attrs if name in ("id", "name") and value)
        self.loads.update(value for name, value in attrs if (tag, name) in LOADED and value)
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The pages of the built site, by path."""
    folder = tmp_path_factory.mktemp("site")
    # Signatures stay on one line: to break them is a fifth of the time, and no link of a page is another for it.
    done = processes.run(
        "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder, NO_MKDOCS_2_WARNING=1, SIGNATURE_WIDTH=10000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path: Page(path.read_text()) for path in folder.rglob("*.html")}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_link_leads_somewhere_and_nothing_is_fetched(site):
    lost, fetched = [], []
    for path, page in site.items():
        fetched += [(path.name, address) for address in page.loads if re.match(r"(https?:)?//", address)]
        for link in page.links:
            address, anchor = urldefrag(link)
            if re.match(r"[a-z]+:", address) or path.name == "404.html":
                continue
            target = (path.parent / unquote(address)).resolve() if address else path
            there = site[target].anchors if target in site else None
            if not target.exists() or (anchor and there is not None and unquote(anchor) not in there):
                lost.append((path.name, link))
    assert (lost, fetched) == ([], [])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_guides_reference_and_api_are_part_of_it(site):
    (root,) = {path.parent for path in site if path.name == "index.html"}
    pages = {str(path.relative_to(root)) for path in site}
    guides = {f"{path.stem}.html" for path in (PROJECT / "docs").glob("*.md")}
    reference = {f"reference/{name}.html" for name in ("commands", "declarations", "settings")}
    packages = {"lake", "sources", "features", "training", "training.kinds", "monitoring", "serving", "handover"}
    assert guides | reference | {f"api/ml_assets.{name}.html" for name in packages} <= pages
    written = next(page for path, page in site.items() if path.name == "ml_assets.lake.html")
    assert "ml_assets.lake.tables.Lake" in written.anchors
