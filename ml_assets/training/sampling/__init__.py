"""Which rows a model learns from, and how much each counts: seeded samples, negatives left out, weights."""
