"""The declarations of a project: read as a tree, and checked against one another."""
