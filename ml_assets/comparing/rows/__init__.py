"""The rows of a file, a folder or a glob, as they are delivered, and what their columns hold."""
