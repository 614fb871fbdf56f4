"""Who the clients are: a data set's clients, each on a device of a trace.

population.py is the object that selection and clock work on; build.py makes it from a job, through the cache.
Imports: datasets, traces.
"""
