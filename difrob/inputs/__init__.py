"""What the inputs of a job must be: facts of runs and data sets, held against specifications before a run exists."""
