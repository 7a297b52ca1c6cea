"""A comparison written down: as JSON, Markdown and HTML."""
