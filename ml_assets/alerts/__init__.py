"""Alerts: what declared rules find, who answers for it, and what was done about it."""
