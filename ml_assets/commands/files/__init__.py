"""Commands on files, for which no project is needed."""
