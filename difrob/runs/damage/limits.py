"""What an inspection and the process that does it for it must agree on."""

LIMIT_SECONDS = 30.0
BYTES_PER_SECOND = 5e6  # what the slowest disk gives
THE_FILE = "the file"
