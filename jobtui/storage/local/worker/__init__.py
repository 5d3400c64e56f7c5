"""The process that works on one storage host's databases: the only place where rocksdict is imported.

Run as `python -m jobtui.storage.local.worker`; it speaks `protocol` on its pipes and nothing else.
"""
