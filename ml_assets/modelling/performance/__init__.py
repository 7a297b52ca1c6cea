"""Performance of a model, drop by drop: measured when a drop ends and again as its labels come, and reported."""
