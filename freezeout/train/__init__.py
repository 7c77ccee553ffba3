"""The training loop: optimizers, the step, the clock, checkpoints. Knows no tracker and no configuration files."""
