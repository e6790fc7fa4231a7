"""Studies: comparisons declared before they are run, with arms, seeds, outcomes, and the rule that decides."""
