"""Source: one delivery of data at a time, taken in, checked and published."""
