"""The parts of the dashboard that paint: each takes data down and posts messages up."""
