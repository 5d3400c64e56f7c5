"""The tabs of a job's detail, each a pure function from a job to lines."""
