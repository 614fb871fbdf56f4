"""When things happen: Numba kernels for latency and availability, and one round policy a file. No MPI, no torch."""

PRESETS = {
    "fedscale": {
        "mode": "sync",
        "overcommitment": 1.3,
        "availability": "fedscale",
        "latency": {"compute": "batches", "kbit": 1024},
    },
}
"""What ``clock: {preset: NAME}`` stands for; keys given beside it override it."""

REGISTRY = {
    "sync": "mpifl.clock.sync:Sync",
    "all": "mpifl.clock.all:All",
    "deadline": "mpifl.clock.deadline:Deadline",
    "semisync": "mpifl.clock.semisync:Semisync",
    "buffered": "mpifl.clock.buffered:Buffered",
    "async": "mpifl.clock.async_:Async",
}
