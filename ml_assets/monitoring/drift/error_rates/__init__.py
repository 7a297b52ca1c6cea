"""False alarms of a drift report: how often chance alone alerts, over all features and statistics together.

``false_alarms.hold_to_rate`` learns from the days of a reference; ``two_samples.compare_with_chance`` is for two
samples without time, whose rows count as independent.
"""
