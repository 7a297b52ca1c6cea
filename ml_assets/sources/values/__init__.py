"""Values in the types that a contract declares, exactly or not at all."""
