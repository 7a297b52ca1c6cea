"""Whether declarations agree: every table and column that one names is there, and no feature is the label."""
