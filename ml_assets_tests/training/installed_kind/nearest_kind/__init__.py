"""The smallest installed package that adds a model kind: nearest neighbours in NumPy."""
