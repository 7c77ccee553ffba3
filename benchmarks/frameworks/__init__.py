"""The plug-ins beside each framework's own way of freezing, in its own training loop: the tables of docs/plugins.md.

Both ways train the same ResNet-8 and freeze the same stages in the same epochs. A *round* trains once in each way, in
a random order; seconds are CPU seconds of one thread, and results are ratios.
"""
