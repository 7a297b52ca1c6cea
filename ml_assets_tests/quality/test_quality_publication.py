import pytest

from ml_assets.quality.publication import history, not_in_use, publish, waiting

A, B, C, D = "2024-01", "2024-02", "2024-03", "2024-04"
GOOD, BAD = (), ("contract",)


def live(deliveries, after_failure="wait"):
    """Deliveries one after the other; the drops in use, those withheld, and what each waits for."""
    in_use, held = set(), {}
    for drop, failed in deliveries:
        again = {other: GOOD for other in waiting(held) if other > drop}
        outcome = publish({**again, drop: failed}, held, in_use, after_failure)
        in_use |= set(outcome.published)
        held = outcome.withheld
    return sorted(in_use), {drop: one.waits_for for drop, one in sorted(held.items())}


@pytest.mark.parametrize(
    ("deliveries", "in_use", "withheld"),
    [
        ([(A, GOOD), (B, GOOD)], [A, B], {}),
        ([(A, GOOD), (B, BAD), (C, GOOD)], [A], {B: (), C: (B,)}),
        ([(A, GOOD), (B, BAD), (C, GOOD), (B, GOOD)], [A, B, C], {}),
        ([(A, BAD), (B, GOOD), (C, BAD), (D, GOOD), (A, GOOD)], [A, B], {C: (), D: (C,)}),
        ([(A, BAD), (B, GOOD), (A, BAD)], [], {A: (), B: (A,)}),
        ([(B, BAD), (A, GOOD)], [A], {B: ()}),
        ([(A, GOOD), (A, BAD), (B, GOOD)], [A, B], {A: ()}),
        ([(A, BAD), (B, GOOD), (B, BAD), (A, GOOD)], [A], {B: ()}),
    ],
)  # fmt: skip
def test_drops_come_into_use_in_order(deliveries, in_use, withheld):
    assert live(deliveries) == (in_use, withheld)


@pytest.mark.parametrize(
    ("deliveries", "in_use", "withheld"),
    [
        ([(A, GOOD), (B, BAD), (C, GOOD)], [A, C], {B: ()}),
        ([(A, GOOD), (B, BAD), (C, GOOD), (B, GOOD)], [A, B, C], {}),
    ],
)
def test_or_without_those_that_failed_where_that_is_declared(deliveries, in_use, withheld):
    assert live(deliveries, "continue") == (in_use, withheld)


def test_what_is_missing_before_a_drop_is_named():
    outcome = publish({B: BAD, D: GOOD}, {}, {A}, "continue")
    periods = [A, B, C, D]
    assert not_in_use(D, periods, {A, B, D}, outcome.withheld) == ([B], [C])
    assert not_in_use(B, periods, {A, B, D}, outcome.withheld) == ([], [])
    measured = history([B], [C])
    assert (measured.value, measured.passed, measured.evidence) == (
        2.0, False, {"withheld": [B], "never_delivered": [C]},
    )  # fmt: skip
