"""False alarms of a drift report: how often chance alone alerts, over all features and statistics together.

``two_samples.compare_with_chance`` is for two samples without time, whose rows count as independent.
"""
