"""The values of an entity over time: keys, moments, encodings, and the record of their build."""
