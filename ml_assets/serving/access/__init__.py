"""Who may do what: keys with names and scopes, how many requests each may make, and what was done with them."""
