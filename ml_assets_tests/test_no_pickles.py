"""Nothing is pickled: what is read back can run no code, and is read by any version of Python."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ml_assets"
LIBRARIES = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
POOLS = {"ProcessPoolExecutor", "Pool", "Manager", "Queue", "SimpleQueue", "JoinableQueue", "Pipe", "PickleType"}
"""Of these each may pickle what it is given; `queue.Queue`, which is between threads, does not."""


def pickling(source):
    """Lines on which something is, or may be, pickled."""
    tree = ast.parse(source)
    imported, found = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {each.name: node.lineno for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module or ''}.{each.name}": node.lineno for each in node.names}
    between = any(name.startswith("multiprocessing") for name in imported)
    for name, line in imported.items():
        parts = name.split(".")
        pools = parts[0] in ("multiprocessing", "concurrent", "sqlalchemy") and parts[-1] in POOLS
        if parts[0] in LIBRARIES or "pickle" in parts or pools:
            found.append(line)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and between and node.attr in {"send", "recv", *POOLS}:
            found.append(node.lineno)  # of a connection between processes; send_bytes and recv_bytes pickle nothing
        elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle", "ProcessPoolExecutor"):
            found.append(node.lineno)
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append(node.value.lineno)
    return sorted(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from joblib import dump",
        "import cloudpickle.pickle",
        "from concurrent.futures import ProcessPoolExecutor",
        "import multiprocessing\n\nours, theirs = multiprocessing.Pipe()",
        "from multiprocessing.connection import Connection\n\nConnection(3).send(7)",
        "import multiprocessing.connection\n\nread = connection.recv()",
        "frame.to_pickle(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_what_pickles_is_found(source):
    assert pickling(source)


@pytest.mark.parametrize(
    "source",
    [
        "from queue import Queue",
        "np.load(path, allow_pickle=False)",
        "from multiprocessing.connection import Connection\n\nConnection(3).send_bytes(b'')",
        "await channel.send(message)",
    ],
)
def test_what_does_not_is_let_be(source):
    assert not pickling(source)


def test_nothing_pickles():
    assert {str(each): lines for each in PACKAGE.rglob("*.py") if (lines := pickling(each.read_text()))} == {}
