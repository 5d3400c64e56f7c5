"""The engine: what turns statements into jobs, jobs into tasks, and tells what became of them.

Importing the package imports nothing: `jobtui -e "SHOW JOBS"` must not pay for asyncio.
"""
