"""Why performance fell: which slices, which features, what explains the change - frames in, a record out."""
