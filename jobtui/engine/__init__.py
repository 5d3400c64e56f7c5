"""The engine: statements become jobs, and jobs become tasks.

Importing the package imports nothing: `jobtui -e "SHOW JOBS"` must not pay for asyncio.
"""
