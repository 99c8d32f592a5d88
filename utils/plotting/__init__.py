"""How figures look, and those of the method (docs/report.md); `utils.plots` has those of runs."""
