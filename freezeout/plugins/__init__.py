"""FreezeOut in other people's training loops: one thin class for each framework, in a module named after it.

The framework is imported by its own module only, and is an extra of this package: `pip install 'freezeout[lightning]'`.
"""
