"""mpifl: federated learning over millions of emulated phones, on an MPI allocation."""

__version__ = "0.1.0"
