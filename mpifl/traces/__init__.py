"""What devices do: speed, bandwidth and availability in HDF5, drawn from a recipe or imported.

trace.py is the format; synthesis.py draws one from a recipe (traces/*.yaml); importers/ holds one source a file.
Imports: job and below. To add an importer: its file, and one line in the registry beside it.
"""
