"""What is claimed about speed, measured: ways of training, taking turns within one process.

An *arm* is one way of training (see `benchmarks.arms`). A *round* visits every arm once, for a *burst* of steps, so
that a drift of the machine's speed falls on all of them alike; what is reported are ratios of the same round.
"""
