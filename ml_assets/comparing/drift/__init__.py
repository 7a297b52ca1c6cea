"""How far each column's distribution has moved, and whether that may be chance."""
