"""Names that other systems and papers use for the keys of a job."""

from __future__ import annotations

KEYS = {
    "aggregator": "algorithm",
    "strategy": "algorithm",
    "batch": "training.batch_size",
    "local_batch_size": "training.batch_size",
    "minibatch_size": "training.batch_size",
    "train_batch_size": "training.batch_size",
    "checkpoint_frequency": "checkpoint.every",
    "save_every": "checkpoint.every",
    "client_fraction": "selection.participants",
    "clients_per_round": "selection.participants",
    "cohort_size": "selection.participants",
    "num_participants": "selection.participants",
    "per_round": "selection.participants",
    "sample_size": "selection.participants",
    "buffer_size": "selection.participants",
    "client_lr": "training.lr",
    "client_learning_rate": "training.lr",
    "eta": "training.lr",
    "learning_rate": "training.lr",
    "local_lr": "training.lr",
    "step_size": "training.lr",
    "client_epochs": "training.epochs",
    "local_epochs": "training.epochs",
    "num_epochs": "training.epochs",
    "local_iterations": "training.local_steps",
    "local_updates": "training.local_steps",
    "max_steps": "training.local_steps",
    "num_steps": "training.local_steps",
    "l2": "training.optimizer.weight_decay",
    "wd": "training.optimizer.weight_decay",
    "cuda": "training.device",
    "gpu": "training.device",
    "use_gpu": "training.device",
    "num_threads": "training.threads",
    "comm_rounds": "rounds",
    "comm_round": "rounds",
    "communication_rounds": "rounds",
    "global_rounds": "rounds",
    "num_rounds": "rounds",
    "num_server_rounds": "rounds",
    "total_rounds": "rounds",
    "random_seed": "seed",
    "dataset": "data.name",
    "dataset_name": "data.name",
    "partitioner": "data.partition",
    "num_clients": "data.partition.clients",
    "num_users": "data.partition.clients",
    "total_clients": "data.partition.clients",
    "device_trace": "population.trace",
    "traces": "population.trace",
    "eval_every": "evaluation.every",
    "eval_frequency": "evaluation.every",
    "eval_interval": "evaluation.every",
    "test_every": "evaluation.every",
    "test_frequency": "evaluation.every",
    "eval_batch_size": "evaluation.batch_size",
    "test_batch_size": "evaluation.batch_size",
    "over_provisioning": "clock.overcommitment",
    "over_selection": "clock.overcommitment",
    "round_deadline": "clock.seconds",
    "time_limit": "clock.seconds",
    "staleness_limit": "clock.max_staleness",
    "mu_prox": "algorithm.mu",
    "proximal_mu": "algorithm.mu",
    "global_lr": "algorithm.server_lr",
    "server_learning_rate": "algorithm.server_lr",
    "timeout": "runtime.round_timeout",
}
"""Name -> key. A key is suggested only if the job has it."""

_PLAIN = {name.replace("_", ""): key for name, key in KEYS.items()}


def key_for(word: str) -> str | None:
    """Return the key for which ``word`` stands elsewhere, None if it is not known.

    Case, ``_`` and ``-`` do not matter.
    """
    return _PLAIN.get(word.lower().replace("_", "").replace("-", ""))
