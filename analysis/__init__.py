"""From records to the speedup-versus-error plot: load -> estimates -> pareto -> plots. Reads records only."""

from pathlib import Path

# The command that starts this program: `python -m analysis` in a checkout, `python -m freezeout.analysis` from a wheel.
PROGRAM = f"python -m {__name__}"
RUNS = Path("runs")
RECORDS = Path(__file__).parent / "records"  # those that come with the program
