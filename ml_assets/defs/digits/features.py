"""The 64 blocks of a scan as they are, and how much ink is in each of its rows and columns."""

from ml_assets import FeatureView, declare

PLACES = range(8)
BLOCKS = [f"pixel_{row}{column}" for row in PLACES for column in PLACES]
ROWS = {f"ink_of_row_{row}": " + ".join(f"pixel_{row}{column}" for column in PLACES) for row in PLACES}
COLUMNS = {f"ink_of_column_{column}": " + ".join(f"pixel_{row}{column}" for row in PLACES) for column in PLACES}

declare(
    __name__,
    FeatureView(
        name="blocks",
        description="How dark each block of the scan is, 0 to 16.",
        owners=["team:data-science"],
        spine="scans",
        entity=["scan"],
        request={name: name for name in BLOCKS},
    ),
    FeatureView(
        name="ink",
        description="How much ink is in each row and column of the scan.",
        owners=["team:data-science"],
        spine="scans",
        entity=["scan"],
        request=ROWS | COLUMNS,
    ),
)
