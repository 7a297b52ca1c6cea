"""Facts that are known before they hold: which announcement holds when, and what of it is seen ahead."""
