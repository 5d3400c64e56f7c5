"""A NebulaGraph cluster as a storage: its own job manager, or each storaged's HTTP port.

Importing a module of this package does not import nebula3-python, which is optional; the first connection
imports it.
"""
