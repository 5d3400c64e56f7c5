"""The writing side of a history: commits, seals and archives, and the threads that run them."""
