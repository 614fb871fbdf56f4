"""Differential privacy: noise of the server or of clients, one mechanism a file, and its account.

A mechanism of the server (``central.py``) adds noise to the sum of bounded updates, or has clients
add it to a sum that is aggregated securely; one of the clients (``local.py``) adds noise to what
each of them uploads. What is spent is computed by the library
dp-accounting (``accounting.py``), from who took part (``participations.py``) and how they were
drawn (``sampling.py``). Imports: exchange, selection. To add a mechanism: a file of its own here,
its test, a line in REGISTRY.
"""

REGISTRY = {
    "none": "mpifl.privacy.none:None_",
    "gaussian": "mpifl.privacy.gaussian:Gaussian",
    "distributed_gaussian": "mpifl.privacy.distributed_gaussian:DistributedGaussian",
    "dp_ftrl": "mpifl.privacy.dp_ftrl:DpFtrl",
    "banded_mf": "mpifl.privacy.banded_mf:BandedMf",
    "local_gaussian": "mpifl.privacy.local_gaussian:LocalGaussian",
    "local_laplace": "mpifl.privacy.local_laplace:LocalLaplace",
    "nbafl": "mpifl.privacy.nbafl:NbAfl",
}
