"""Summaries over windows that end at the prediction time, exact before one last rounding."""
