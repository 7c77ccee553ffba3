"""One configuration, from words to record. Importing this imports no torch."""
