"""The training program: the paper's experiments, from a command or from Python."""
