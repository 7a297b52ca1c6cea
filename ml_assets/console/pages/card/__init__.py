"""The card of one version of a model."""
