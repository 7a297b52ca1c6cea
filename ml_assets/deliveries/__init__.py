"""Deliveries of a declared source: placed in drops, judged by its gate, published or withheld - without Dagster."""
