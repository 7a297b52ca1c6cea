"""The stage of the pipeline that an asset belongs to, carried as a tag; jobs are selections of stages."""

STAGE = "ml_assets/stage"

STATIC_SOURCE = "static_source"
SOURCE = "source"
TABLE = "table"
STATIC_TABLE = "static_table"
FEATURE = "feature"
OUTCOME = "outcome"
TRAINING = "training"
SCORING = "scoring"
SERVED = "served"
ONLINE = "online"
