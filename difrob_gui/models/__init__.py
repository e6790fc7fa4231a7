"""What the window shows, as data and Qt models; no widgets."""
