"""difrob: a workbench for robustness research with diffusion models.

Importing this package is cheap: it pulls in neither torch nor Qt.
"""

__version__ = "0.1.0"
