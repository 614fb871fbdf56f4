"""Clients: each has the data of a data set's client and a device of a trace.

population.py is the object that selection and clock use; build.py makes it from a job, through the
cache.
Imports: datasets, traces.
"""
