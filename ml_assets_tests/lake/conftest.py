import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

WRITER = Path(__file__).parent / "lake_writer.py"


@pytest.fixture
def start_writer(tmp_path):
    """Starts a writer process and waits until it stands ready; whatever still runs at the end is killed."""
    go = tmp_path / "go"
    with ExitStack() as running:

        def start(root, key, name, partitions, rounds=1, rows=10):
            arguments = [str(root), key, name, str(rounds), str(rows), ",".join(partitions), str(go)]
            process = subprocess.Popen(
                [sys.executable, str(WRITER), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            running.enter_context(process)
            running.callback(process.kill)
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            return process

        start.go = go.touch
        yield start


@pytest.fixture
def run_writers(start_writer):
    """Lets writers loose at the same moment and waits until all have ended well."""

    def run(root, key, writers, **how):
        processes = [start_writer(root, key, name, partitions, **how) for name, partitions in writers.items()]
        start_writer.go()
        for process in processes:
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors

    return run
