"""Two frames compared as two files would be."""

from ml_assets.comparing.compare import compare
from ml_assets.comparing.drift.limits import DriftLimits
from ml_assets.comparing.rows.place import find_place
from ml_assets.comparing.rows.table import Choice


def written(frame, path):
    """Write a frame in the format that the path ends with."""
    {".csv": frame.write_csv, ".parquet": frame.write_parquet, ".ndjson": frame.write_ndjson}[path.suffix](path)
    return str(path)


def compared(folder, reference, current, form="parquet", **options):
    """Compare two frames, both written in one format."""
    places = [
        find_place(side, written(frame, folder / f"{side}.{form}"))
        for side, frame in (("reference", reference), ("current", current))
    ]
    choice = options.pop("choice", Choice())
    return compare(places[0], places[1], choice, options.pop("limits", DriftLimits()), options.pop("tolerance", 0.0))
