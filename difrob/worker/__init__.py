"""Supervisor, workers, queue, and the messages between them and their clients."""
