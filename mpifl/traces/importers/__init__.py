"""Importers of device traces: one format a file, each a class whose fields are its options."""

REGISTRY = {
    "ai-benchmark": "mpifl.traces.importers.ai_benchmark:AiBenchmark",
    "csv": "mpifl.traces.importers.csv_tables:Csv",
    "fedscale": "mpifl.traces.importers.fedscale:Fedscale",
    "flash-matrix": "mpifl.traces.importers.flash_matrix:FlashMatrix",
    "flash-states": "mpifl.traces.importers.flash_states:FlashStates",
    "mahimahi": "mpifl.traces.importers.mahimahi:Mahimahi",
    "oort": "mpifl.traces.importers.client_sizes:Oort",
    "pyramidfl": "mpifl.traces.importers.client_sizes:Pyramidfl",
    "seconds-mbit": "mpifl.traces.importers.seconds_mbit:SecondsMbit",
}
