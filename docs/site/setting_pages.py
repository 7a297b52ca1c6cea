"""The reference of settings."""


def render() -> str:
    """Return the page's Markdown."""
    return "# Settings\n"
