"""What rules of alerts see: values read from the tables of a model or a source."""
