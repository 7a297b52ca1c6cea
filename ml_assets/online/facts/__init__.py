"""The facts behind the values: rows of the table and pushed rows, joined and encoded."""
