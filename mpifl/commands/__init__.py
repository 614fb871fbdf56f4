"""The ``mpifl`` command: one group of subcommands a file.

What is slow to import is imported where it is used. Imports: everything but run.py. To add a group:
its file, and one line in ``mpifl/__main__.py``.
"""
