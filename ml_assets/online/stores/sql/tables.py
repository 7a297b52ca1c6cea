"""What is in the tables of a store, whichever database they are in."""

STAGED, READ, OLD = "staged", "read", "old"
"""What a build is: being made, the one of its view that is read, or read no more."""

OF_A_BUILD = ("moments", "facts", "states")
"""Tables with rows of the entities of a build, by its number and the entity."""

HEADER = -1
"""Stands in place of a leaf's number for the header of a running state."""
