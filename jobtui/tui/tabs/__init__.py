"""The tabs of a job's detail, each a pure function: a job in, lines out."""
