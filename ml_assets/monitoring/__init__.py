"""Monitoring: drift of the features, estimated and realised performance, one report a drop.

Everything compares an analysis frame (production predictions of one period) with the reference (the
champion's own out-of-sample predictions) over chunks of the period.
"""
