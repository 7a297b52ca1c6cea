"""Models and features in the forms that other tools take."""
