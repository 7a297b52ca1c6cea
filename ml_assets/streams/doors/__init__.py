"""The kinds of stream that come with the platform, one a module."""
