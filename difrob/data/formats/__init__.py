"""Readers of the formats in which data sets are published; each gives a :class:`difrob.data.formats.source.Source`."""
