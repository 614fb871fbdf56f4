"""When things happen: Numba kernels for latency and availability, and one round policy a file. No MPI, no torch."""

REGISTRY = {
    "sync": "mpifl.clock.sync:Sync",
}
