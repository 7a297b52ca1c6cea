"""A comparison as one HTML file: no script, nothing loaded from elsewhere."""
