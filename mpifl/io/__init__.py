"""Files: atomic writes, our HDF5 files, compressed files, foreign pickles (a restricted reader).

Imports: errors. Anything may import from here.
"""
