"""The engine: it turns statements into jobs and jobs into tasks, and records and publishes what happens.

Importing the package imports nothing: `jobtui -e "SHOW JOBS"` must not pay for asyncio.
"""
