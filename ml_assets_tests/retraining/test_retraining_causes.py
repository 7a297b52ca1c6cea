import polars as pl
import pytest

from ml_assets.retraining.causes import rank_causes


def drift(values: dict[str, float | None], method: str = "psi", scope: str = "period") -> pl.DataFrame:
    return pl.DataFrame(
        {"feature": list(values), "value": list(values.values())}, schema={"feature": pl.String, "value": pl.Float64}
    ).with_columns(method=pl.lit(method), scope=pl.lit(scope))


def shares(**of: float) -> pl.DataFrame:
    return pl.DataFrame({"feature": list(of), "share": list(of.values())})


def test_rank_is_psi_times_contribution_by_hand():
    moved = drift({"size": 1.0, "colour": 0.5, "age": 0.3, "still": 0.2, "empty": None})
    found = rank_causes(moved, shares(size=0.1, colour=0.5, age=0.25, still=0.15), 0.2)
    assert [(cause.feature, cause.psi, cause.contribution) for cause in found] == [
        ("colour", 0.5, 0.5),
        ("size", 1.0, 0.1),
        ("age", 0.3, 0.25),
    ]
    assert [cause.weight for cause in found] == pytest.approx([0.25, 0.1, 0.075])


def test_only_psi_over_the_whole_drop_counts():
    frames = [drift({"a": 0.9}, scope="chunk"), drift({"b": 0.9}, method="jensen_shannon"), drift({"c": 0.3})]
    assert [cause.feature for cause in rank_causes(pl.concat(frames), shares(a=0.4, b=0.4, c=0.2), 0.2)] == ["c"]


def test_ten_at_most_and_ties_by_name():
    names = [f"f{i:02}" for i in range(12)]
    found = rank_causes(drift(dict.fromkeys(reversed(names), 0.5)), shares(**dict.fromkeys(names, 1 / 12)), 0.2)
    assert [cause.feature for cause in found] == names[:10]


def test_nothing_moved_is_no_cause():
    assert rank_causes(drift({"a": 0.1}), shares(a=1.0), 0.2) == []
