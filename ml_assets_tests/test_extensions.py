"""Implementations are resolved by name: built in, installed with an entry point, or registered in the process."""

import sys
from pathlib import Path

import pytest

from ml_assets.extensions import ExtensionError, Extensions

GROUP = "ml_assets.test_shapes"


def _shapes() -> Extensions:
    return Extensions(GROUP, "shape", {"round": "math:pi", "broken": "math:no_such_attribute"})


def _install(folder: Path, package: str, entry_points: str) -> None:
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n{entry_points}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_a_built_in_implementation_is_loaded_by_its_name() -> None:
    assert _shapes().get("round") == pytest.approx(3.14159, abs=1e-5)


def test_an_installed_package_adds_an_implementation(site: Path) -> None:
    _install(site, "shapes_extra", "square = math:tau")
    shapes = _shapes()
    assert shapes.names() == ["round", "broken", "square"]
    assert shapes.get("square") == pytest.approx(6.28318, abs=1e-5)


def test_an_unknown_name_is_answered_with_the_known_ones_and_the_way_to_add_one() -> None:
    message = "unknown shape 'oval': known are round, broken; an installed package adds one by an entry point of the"
    with pytest.raises(ExtensionError, match=message):
        _shapes().get("oval")


def test_an_implementation_that_cannot_be_loaded_is_named_with_its_address() -> None:
    with pytest.raises(ExtensionError, match="shape 'broken' cannot be loaded from 'math:no_such_attribute'"):
        _shapes().get("broken")


def test_whatever_a_module_raises_when_it_is_imported_is_told_with_its_package(site: Path) -> None:
    (site / "misspelt.py").write_text("def circle(:\n")
    _install(site, "shapes_extra", "circle = misspelt:circle")
    message = r"'circle' cannot be loaded from 'misspelt:circle' \(package shapes_extra\): SyntaxError: "
    with pytest.raises(ExtensionError, match=message):
        _shapes().get("circle")


def test_an_installed_one_that_cannot_be_loaded_is_left_out_of_all_and_logged_once(
    site: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _install(site, "shapes_extra", "square = math:tau\ncircle = no_such_module:circle")
    shapes = Extensions(GROUP, "shape", {"round": "math:pi"})
    assert list(shapes.loadable()) == list(shapes.loadable()) == ["round", "square"]
    (record,) = caplog.records
    assert "shape 'circle' cannot be loaded from 'no_such_module:circle'" in record.getMessage()


def test_a_built_in_one_that_cannot_be_loaded_is_an_error_of_all() -> None:
    with pytest.raises(ExtensionError, match="shape 'broken' cannot be loaded"):
        _shapes().loadable()


@pytest.mark.parametrize("package", [["one", "two"], ["one"]], ids=["two packages", "a package and the platform"])
def test_a_name_that_two_bear_is_refused(site: Path, package: list[str]) -> None:
    name = "square" if len(package) == 2 else "round"
    for each, address in zip(package, ["math:tau", "math:e"], strict=False):
        _install(site, each, f"{name} = {address}")
    with pytest.raises(ExtensionError, match=f"shape '{name}' is named twice: .* uninstall one of them"):
        _shapes().get("oval")


def test_what_is_registered_in_the_process_can_be_used_and_removed() -> None:
    shapes = _shapes()
    shapes.register("oval", 1.0)
    assert shapes.get("oval") == 1.0
    with pytest.raises(ExtensionError, match="shape 'oval' is registered already"):
        shapes.register("oval", 2.0)
    shapes.unregister("oval")
    assert "oval" not in shapes.names()


def _numbers(takes_classes: bool) -> Extensions:
    return Extensions(GROUP, "number", {}, "numbers:Number", takes_classes=takes_classes)


@pytest.mark.parametrize(
    ("takes_classes", "address", "message"),
    [
        (True, "fractions:Fraction", None),
        (False, "math:pi", None),
        (True, "math:pi", "it is an instance of a class; register a class"),
        (False, "fractions:Fraction", "it is a class; register an instance of a class"),
        (False, "math:floor", "it does not extend numbers.Number"),
        (True, "pathlib:Path", "it does not extend numbers.Number"),
        (True, "numbers:Rational", "it lacks __abs__, __add__, .*, numerator, which numbers.Number asks for"),
        (True, "fractions", "it names a module; write module:attribute"),
    ],
)
def test_what_a_package_adds_has_to_be_what_the_extension_point_takes(
    site: Path, takes_classes: bool, address: str, message: str | None
) -> None:
    _install(site, "one", f"some = {address}")
    numbers = _numbers(takes_classes)
    if message is None:
        assert numbers.get("some") is not None
        return
    with pytest.raises(ExtensionError, match=rf"^number 'some' cannot be loaded from '{address}' \(package one\): "):
        numbers.get("some")
    with pytest.raises(ExtensionError, match=message):
        numbers.get("some")


@pytest.mark.parametrize(
    ("source", "message"),
    [("def shape(:", "SyntaxError: "), ("raise RuntimeError('no licence')", "RuntimeError: no licence")],
)
def test_a_module_that_does_not_import_is_named_with_its_package(site: Path, source: str, message: str) -> None:
    name = f"faulty_shapes_{message[0].lower()}"
    (site / f"{name}.py").write_text(source)
    _install(site, "one", f"square = {name}:SHAPE")
    with pytest.raises(ExtensionError, match=rf"'{name}:SHAPE' \(package one\): {message}"):
        _shapes().get("square")
