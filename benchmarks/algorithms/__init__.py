"""Every algorithm on the same jobs: accuracy after rounds and after virtual time, with three seeds."""
