"""Device traces in HDF5: compute speed, bandwidth, energy and availability of devices.

trace.py is the format; synthesis.py draws a trace from a recipe (traces/*.yaml); importers/ holds
one format a file.
Imports: job and below. To add an importer: its file, and one line in REGISTRY of importers/.
"""
