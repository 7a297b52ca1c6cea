"""Diagnoses of drops, as they are kept: one record each, added and never changed."""

from collections.abc import Sequence

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from ml_assets.diagnosis.causes.record import Diagnosis
from ml_assets.lake import Lake
from ml_assets.lake.records import add_records, read_records
from ml_assets.modelling.context import ModelContext

DIAGNOSES = "diagnoses"
"""Table of a model, beside its assets: why it did worse on a drop, of drops whose performance fell."""


class DropDiagnosis(BaseModel):
    """Why one version did worse on a drop than on its reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="Registered model.")
    drop: str = Field(description="The drop.")
    version: str = Field(description="Version that made its predictions.")
    labels_until: str = Field(description="The drop by whose end the labels were known that were looked at.")
    diagnosis: Diagnosis = Field(description="What was seen.")


def read_diagnoses(lake: Lake, model: str) -> list[DropDiagnosis]:
    """Read every kept diagnosis of a model, the oldest first; empty where performance has not fallen yet."""
    return read_records(lake, f"{model}/{DIAGNOSES}", DropDiagnosis)


def keep_diagnoses(lake: Lake, model: ModelContext, records: Sequence[DropDiagnosis]) -> pl.DataFrame | None:
    """Add those that differ from the last one on their drop; return their rows, None where none does."""
    last = {record.drop: record for record in read_diagnoses(lake, model.spec.name)}
    new = [record for record in records if last.get(record.drop) != record]
    if not new:
        return None
    columns = [{model.spine.partition: record.drop, **_shown(record)} for record in new]
    return add_records(lake, model.key(DIAGNOSES), new, columns, model.spine.partition)[1]


def _shown(record: DropDiagnosis) -> dict[str, object]:
    found = record.diagnosis
    return {
        "model_version": record.version,
        "labels_until": record.labels_until,
        "basis": found.basis,
        "fell": found.fell,
        "metric": found.decomposition.metric,
        "fall": found.decomposition.fall.value,
        "fall_by_inputs": found.decomposition.inputs.value,
        "fall_by_relation": None if found.decomposition.relation is None else found.decomposition.relation.value,
        "overlap": found.decomposition.overlap,
        "cause": found.causes[0].kind if found.causes else None,
        "subject": found.causes[0].subject if found.causes else None,
        "headline": found.headline,
    }
