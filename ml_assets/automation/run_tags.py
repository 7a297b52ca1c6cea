"""Tags of runs."""

RUN_KEY = "ml_assets/run_key"
LAUNCHED_BY = "ml_assets/launched_by"
CLI = "cli"
DECISION = "ml_assets/decision"
"""Tag of a training run: the decision it acts on."""

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
