"""The lake: versioned Delta tables under one root, addressed by asset key."""

from ml_assets.lake.tables import Lake, TableMissing, TableVersion

__all__ = ["Lake", "TableMissing", "TableVersion"]
