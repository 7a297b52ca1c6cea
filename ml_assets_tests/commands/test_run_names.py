"""A mistyped name of a drop is refused: as text it would sort somewhere, and leave months out without a word."""

from types import SimpleNamespace

import pytest

from ml_assets.commands.lifecycle.main_job import MainJob


def job(grain: str) -> MainJob:
    of_grain = SimpleNamespace(cut_sources=[SimpleNamespace(drops=SimpleNamespace(grain=grain))])
    job = MainJob(SimpleNamespace(), "shop")
    job.__dict__["_declared"] = of_grain
    return job


@pytest.mark.parametrize(
    ("grain", "since", "until"),
    [
        ("monthly", "2024-02", ""),
        ("monthly", "", ""),
        ("daily", "2024-02-29", "2024-03-01"),
        ("weekly", "2024-01-01", ""),
    ],
)
def test_names_of_drops_are_taken(grain, since, until):
    job(grain)._check_names(since=since, until=until)


@pytest.mark.parametrize(
    ("grain", "option", "name"),
    [
        ("monthly", "since", "2024-2"),
        ("monthly", "until", "2024-02-01"),
        ("daily", "since", "2024-02"),
        ("weekly", "until", "2024-01-02"),  # a Tuesday
    ],
)
def test_others_are_refused_by_what_to_write(grain, option, name):
    with pytest.raises(ValueError, match=rf"--{option}: '{name}' is no {grain} drop of shop: write "):
        job(grain)._check_names(**{option: name})
