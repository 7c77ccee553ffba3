"""What is claimed about speed, measured: every arm interleaved with the others within one process."""
