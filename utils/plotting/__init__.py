"""How figures look, and those of the method (docs/figures.md); `utils.plots` has those of runs."""
