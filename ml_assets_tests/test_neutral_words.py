"""Only the declarations know what they are about: the platform serves any use case."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ml_assets"
WORDS = re.compile(
    r"flight|airport|airline|aircraft|airplane|weather|tailnum|nycflights|(?<![a-z])(?:plane|carrier|departure|arrival|runway)s?(?![a-z])"
    r"|pixel|handwrit|written by hand|scanned_at|ink_of",
    re.IGNORECASE,
)
PLATFORM = sorted(p for p in PACKAGE.rglob("*.py") if "defs" not in p.relative_to(PACKAGE).parts)


def test_the_words_are_found_where_they_belong():
    declared = (PACKAGE / "defs/flights/features/defs.yaml").read_text()
    assert {"flight", "carrier", "weather", "departure"} <= {word.lower() for word in WORDS.findall(declared)}
    drawn = (PACKAGE / "defs/digits/features.py").read_text()
    assert {"pixel", "ink_of"} <= {word.lower() for word in WORDS.findall(drawn)}


@pytest.mark.parametrize("module", PLATFORM, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_of_the_platform_speaks_of_one_use_case(module):
    lines = enumerate(module.read_text().splitlines(), start=1)
    assert [f"{number}: {line.strip()}" for number, line in lines if WORDS.search(line)] == []
