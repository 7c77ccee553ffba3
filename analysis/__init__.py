"""From records to the speedup-versus-error plot: load -> estimates -> pareto -> plots. Reads records only."""
