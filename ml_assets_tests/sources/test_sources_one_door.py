"""A format is chosen in one place: nothing but the readers' registry knows the formats by their names."""

import ast
from pathlib import Path

import ml_assets
from ml_assets.sources.formats import READERS
from ml_assets.sources.readers.reader import SourceReader

ROOT = Path(ml_assets.__file__).parent


def compared(module: Path) -> list[str]:
    """Where a module compares something with the name of a format."""
    comparisons = [node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Compare)]
    return [
        f"{module.relative_to(ROOT)}:{comparison.lineno}"
        for comparison in comparisons
        for constant in ast.walk(comparison)
        if isinstance(constant, ast.Constant) and constant.value in READERS.names()
    ]


def test_no_module_compares_formats():
    modules = [path for path in ROOT.rglob("*.py") if "__pycache__" not in path.parts]
    assert len(modules) > 200
    assert [place for module in modules for place in compared(module)] == []


def test_a_comparison_would_be_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    module = tmp_path / "module.py"
    module.write_text('if spec.format == "csv" or spec.format in ("sql", "delta"): ...\n')
    assert compared(module) == ["module.py:1"] * 3


def test_every_built_in_reader_implements_the_interface():
    readers = {name: READERS.get(name) for name in ("csv", "csv.zip", "csv.gz", "parquet", "delta", "sql")}
    assert all(isinstance(reader, SourceReader) for reader in readers.values())
    assert [name for name, reader in readers.items() if reader.as_texts] == ["csv", "csv.zip", "csv.gz"]
    assert [name for name, reader in readers.items() if reader.reads_queries] == ["sql"]
    assert [name for name, reader in readers.items() if not reader.takes_partitions] == ["delta", "sql"]
