"""The page of a source: its drops on a calendar, what its gate said of each, and its quarantine."""
