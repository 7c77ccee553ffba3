"""What freezing saves: on paper, by counted FLOPs, and by seconds timed alone. Importing this imports no torch."""
