"""How fast the optimizers and the training program are; docs/performance.md has the results."""
