"""What was decided about a model, and what its reports say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ml_assets.lake import Lake
from ml_assets.public.unknown import unknown_name
from ml_assets.retraining.decide import DecisionRecord
from ml_assets.sources.drops.moments import drop_end
from ml_assets.sources.drops.spec import Drops
from ml_assets.training.promotion.records import PromotionRecord


@dataclass(frozen=True, repr=False)
class ModelDecisions:
    """Every decision on a model, with the evidence that it rests on, the oldest first.

    Attributes:
        model: the model's name.
        promotions: which version serves: promotions, refusals and roll-backs.
        retraining: whether to train again, the decision that holds on each drop.
    """

    model: str
    promotions: Sequence[PromotionRecord]
    retraining: Sequence[DecisionRecord]

    @property
    def table(self) -> pl.DataFrame:
        """Both kinds in the order of the moments that they look from: as_of, about, decision, version, rule,
        reason."""
        promoted = [(r.as_of, "champion", r.answer, r.challenger, r.rule, r.reason) for r in self.promotions]
        retrained = [
            (r.as_of, f"drop {r.drop}", "retrain" if r.retrain else "wait", r.champion, r.rule, r.reason)
            for r in self.retraining
        ]
        rows = [(_moment(as_of), *rest) for as_of, *rest in (*promoted, *retrained)]
        text = dict.fromkeys(("about", "decision", "version", "rule", "reason"), pl.String())
        schema = {"as_of": pl.Datetime("us", "UTC"), **text}
        return pl.DataFrame(rows, schema=schema, orient="row").sort("as_of", maintain_order=True, nulls_last=False)

    def __repr__(self) -> str:
        return f"decisions on {self.model}\n{self.table}"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


@dataclass(frozen=True, repr=False)
class ModelReports:
    """What was measured of each drop that a model scored.

    Attributes:
        model: the model's name.
        drift: how far features have moved from the champion's reference: a row per drop, chunk, feature and statistic.
        performance: estimated and realised: a row per drop, moment of measuring, chunk, kind and metric.
        pages: drop -> address of its HTML page, which shows its newest measures.
    """

    model: str
    drift: pl.DataFrame
    performance: pl.DataFrame
    pages: dict[str, str]

    def page(self, drop: str) -> str:
        """Read the HTML page of a drop.

        Raises:
            UnknownName: there is none of that drop.
        """
        import fsspec

        if drop not in self.pages:
            raise unknown_name(f"report of {self.model} on drop", drop, self.pages)
        with fsspec.open(self.pages[drop], "r", encoding="utf-8") as file:
            return file.read()  # pyright: ignore[reportAttributeAccessIssue]

    def as_known(self, moment: datetime, partition: str, drops: Drops) -> "ModelReports":
        """Return what was known at a moment: of the drops that were over by then, the newest measures until then.

        Args:
            partition: column that names the drop.
            drops: how the model's rows are cut.
        """
        from ml_assets.monitoring.performance.measures import newest_measures

        def is_over(drop: str) -> bool:
            return drop_end(drop, drops) <= moment

        def known(report: pl.DataFrame) -> pl.DataFrame:
            over = [drop for drop in report[partition].unique() if is_over(drop)] if report.width else []
            return report.filter(pl.col(partition).is_in(over)) if report.width else report

        performance = known(self.performance)
        if performance.width:
            performance = newest_measures(performance.lazy(), partition, moment).collect()
        pages = {drop: page for drop, page in self.pages.items() if is_over(drop)}
        return ModelReports(self.model, known(self.drift), performance, pages)

    @property
    def periods(self) -> pl.DataFrame:
        """Performance of each drop as a whole."""
        return self.performance.filter(pl.col("scope") == "period") if self.performance.width else self.performance

    def __repr__(self) -> str:
        pages = ", ".join(self.pages) or "none"
        return f"reports of {self.model}; pages: {pages}\n{self.periods}"

    def _repr_html_(self) -> str:
        return self.periods._repr_html_()


def read_model_decisions(lake: Lake, model: str) -> ModelDecisions:
    """Read what was decided about a model; empty before the first decision."""
    from ml_assets.registry.decisions import read_decisions as read_promotions
    from ml_assets.retraining.decide import read_decisions

    return ModelDecisions(model, read_promotions(lake, model), read_decisions(lake, model))


def read_reports(lake: Lake, model: str) -> ModelReports:
    """Read what was measured of each drop; empty before the first."""
    tables = {name: f"{model}/{name}_report" for name in ("drift", "performance")}
    frames = {name: lake.scan(key).collect() if lake.exists(key) else pl.DataFrame() for name, key in tables.items()}
    return ModelReports(model, frames["drift"], frames["performance"], _pages(lake, f"{model}/reports"))


def _pages(lake: Lake, key: str) -> dict[str, str]:
    import fsspec

    files, folder = fsspec.core.url_to_fs(lake.uri(key))
    if not files.isdir(folder):
        return {}
    found = sorted(str(path) for path in files.ls(folder, detail=False) if str(path).endswith(".html"))
    return {path.rpartition("/")[2].removesuffix(".html"): files.unstrip_protocol(path) for path in found}


def _moment(as_of: str) -> datetime | None:
    return datetime.fromisoformat(as_of) if as_of else None
