"""Files: atomic writes, our HDF5 files, compressed files, pickles from outside (read by a restricted reader).

Imports: errors. Anything may import from here.
"""
