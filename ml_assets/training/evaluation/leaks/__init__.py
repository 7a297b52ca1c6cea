"""Signs that a feature knows the outcome, told from the rows that a model is trained and measured on."""
