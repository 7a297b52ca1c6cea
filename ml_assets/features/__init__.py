"""Point-in-time features: one declaration, one engine for training, scoring and the online table."""
