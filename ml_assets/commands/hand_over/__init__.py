"""Commands that write models and features for other tools."""
