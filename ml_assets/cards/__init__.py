"""What is known of one version of a model, on one page."""
