"""When things happen: Numba kernels for latency and availability, and one round policy a file. No MPI, no torch."""

REGISTRY = {
    "sync": "mpifl.clock.sync:Sync",
    "all": "mpifl.clock.all:All",
    "deadline": "mpifl.clock.deadline:Deadline",
    "semisync": "mpifl.clock.semisync:Semisync",
    "buffered": "mpifl.clock.buffered:Buffered",
    "async": "mpifl.clock.async_:Async",
}
