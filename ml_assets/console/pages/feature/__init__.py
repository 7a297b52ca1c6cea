"""The page of a feature: what it is, whether it is healthy, and who uses it."""
