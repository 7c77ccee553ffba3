"""From records to the speedup-versus-error plot: load -> estimates -> pareto -> plots. Reads records only."""

# The command that starts this program: `python -m analysis` in a checkout, `python -m freezeout.analysis` from a wheel.
PROGRAM = f"python -m {__name__}"
