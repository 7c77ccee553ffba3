"""One run, from its command-line words to its record. Importing this package does not import torch."""
