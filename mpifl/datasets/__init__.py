"""What clients hold: data sets in HDF5, their splits, partitions, importers and a catalogue.

dataset.py is the format; store.py writes it; partitioners/ and importers/ hold one of each a file.
Imports: job and below. To add a partitioner or importer: its file, and one line in the registry beside it.
"""
