"""Every model, the one that needs attention most first."""
