"""Measurements behind the claims about speed: ways of training that take turns within one process.

An *arm* is one way of training (see `benchmarks.arms`). A *round* visits every arm once, for a *burst* of steps, so
that a drift of the machine's speed affects all of them equally; the results are ratios within a round.
"""
