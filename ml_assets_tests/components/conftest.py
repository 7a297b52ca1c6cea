"""Small projects of a made-up shop, loaded as Dagster loads the real one, over a lake in a temporary folder."""

import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from textwrap import dedent

import dagster as dg
import pytest
import yaml

from ml_assets.lake import Lake
from ml_assets.registry.registry import Registry
from ml_assets.resources import AsOf, LakeResource, RegistryResource

CONTRACTS = """
    import pandera.polars as pa
    import polars as pl

    from ml_assets.quality.rules import row_rule


    class Orders(pa.DataFrameModel):
        id: pl.Int64 = pa.Field(description="Number of the order")
        customer: pl.String = pa.Field(description="Who ordered")
        amount: pl.Float64 = pa.Field(ge=0, le=1000, nullable=True, description="Price in euro")
        placed_at: pl.Datetime("us", "UTC") = pa.Field(description="When it was placed")
        settled_at: pl.Datetime("us", "UTC") = pa.Field(nullable=True, description="When its outcome was known")
        returned: pl.Boolean = pa.Field(nullable=True, description="Whether it came back")

        class Config:
            unique = ("id",)

        @row_rule
        def settled_after_placed(cls):
            return pl.col("settled_at") >= pl.col("placed_at")


    class Customers(pa.DataFrameModel):
        customer: pl.String
        city: pl.String
"""

_numbers = count()


@dataclass(frozen=True)
class Project:
    """A loaded project with a home of its own."""

    folder: Path
    declarations: tuple[dict, ...]

    @cached_property
    def definitions(self) -> dg.Definitions:
        tree = dg.ComponentTree.for_project(self.folder)
        return tree.build_defs(tree.defs_module_path)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        return dg.DagsterInstance.ephemeral()

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "home/lake"))

    @property
    def registry(self) -> Registry:
        return Registry(f"sqlite:///{self.folder}/home/mlflow.db", str(self.folder / "home/artifacts"), "tests")

    def asset_specs(self) -> dict[str, dg.AssetSpec]:
        return {spec.key.to_user_string(): spec for spec in self.definitions.resolve_all_asset_specs()}

    def run(self, *keys: str, drops: list[str] | tuple = (), as_of: str = "") -> "Outcome":
        """Materialize assets, each named `a/b`, for consecutive drops."""
        tags = {"dagster/asset_partition_range_start": drops[0], "dagster/asset_partition_range_end": drops[-1]}
        registry = self.registry
        return Outcome(
            dg.materialize(
                list(self.definitions.assets),
                selection=dg.AssetSelection.assets(*(key.split("/") for key in keys)),
                tags=tags if drops else {},
                instance=self.instance,
                raise_on_error=False,
                resources={
                    "lake": LakeResource(root=self.lake.root),
                    "registry": RegistryResource(
                        tracking_uri=registry.tracking_uri, artifacts=registry.artifact_root, experiment="tests"
                    ),
                    "as_of": AsOf(moment=as_of),
                },
            )
        ) if drops else self._run_whole(keys, as_of)

    def _run_whole(self, keys, as_of):
        raise NotImplementedError


class Outcome:
    """What a run did."""
