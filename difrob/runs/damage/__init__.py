"""Damaged files: found out before anybody reads them, mended, and what is left of them saved."""
