"""Which code is running: the commit, and a fingerprint of the files that decide results."""

import hashlib
import subprocess
from functools import lru_cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout: the folder of pyproject.toml, dagster.yaml and dbt_project."""


@lru_cache(maxsize=1)
def code_fingerprint() -> str:
    """Hash of every source file of the platform and of its declarations, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    folders = (PROJECT / "ml_assets", PROJECT / "dbt_project")
    for path in sorted(p for f in folders for p in f.rglob("*") if p.suffix in {".py", ".yaml", ".yml", ".sql"}):
        digest.update(str(path.relative_to(PROJECT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def code_commit() -> str:
    """The checkout's git commit, with ``+changes`` if files differ from it; the fingerprint outside of git."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(PROJECT), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        commit, changes = git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no")
    except (subprocess.CalledProcessError, FileNotFoundError, subprocess.TimeoutExpired):
        return f"files-{code_fingerprint()}"
    return commit + ("+changes" if changes else "")
