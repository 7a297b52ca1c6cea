"""The online store in an SQLite file: readers are never in the way of writers, nor writers of readers."""
