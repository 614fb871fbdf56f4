"""Data sets in HDF5: their format, splits, partitioners, importers and a catalogue.

dataset.py is the format and store.py writes it for importers. partitioners/ and importers/ hold
one partitioner or importer a file.
Imports: job and below. To add a partitioner or an importer: its file, and one line in REGISTRY of
the folder's ``__init__``.
"""
