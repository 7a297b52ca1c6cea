"""Causes of a fall, each with its evidence, in one order."""
