"""Spine and FeatureView: the rows to predict, and features as of each of them."""
