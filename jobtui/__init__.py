"""jobtui: a live dashboard and command bar for the flush and compact jobs of a storage cluster."""

__version__ = "0.2.0"
