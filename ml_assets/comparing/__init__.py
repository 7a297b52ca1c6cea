"""Two tables side by side, without a project: what the first leads to expect, and where the second differs."""
