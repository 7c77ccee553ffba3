"""The first half hour on a rented GPU, in parts whose results outlive it: `make gpu MINUTES=25` (docs/gpu.md)."""
