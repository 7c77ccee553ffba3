"""FreezeOut in the training loops of other frameworks: one thin class each, in a module named after the framework.

Only that module imports the framework. Lightning and Hugging Face are extras: `pip install 'freezeout[lightning]'`.
"""
