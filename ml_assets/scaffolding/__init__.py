"""New declarations: defs.yaml rendered from the specs, contracts inferred from a sample."""
