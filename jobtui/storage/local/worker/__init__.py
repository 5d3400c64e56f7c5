"""The worker process of a storage host, the only importer of rocksdict.

Run as `python -m jobtui.storage.local.worker`; it speaks `protocol` on its pipes and nothing else.
"""
