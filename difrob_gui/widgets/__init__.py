"""Widgets that pages are made of, one idea per file."""
