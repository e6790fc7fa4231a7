"""Several processes that do one run together: how they share its work, how they meet, and what each of them records."""
