"""False alarms of a drift report: how often chance alone alerts, over all features and statistics together.

``false_alarms.hold_to_rate`` learns it from the days of a reference; ``corrections`` adjusts p-values of
tests whose rows count as independent.
"""
