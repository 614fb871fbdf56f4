"""From a job to an experiment: what every rank knows of the job.

build_experiment.py makes it on rank 0, announcement.py on the others. The checks are by section of
the job (privacy_checks.py, secure_checks.py, ...; those between sections are in job_checks.py): a
new one is called in build_experiment.py. demands.py and prospects.py say what a job will take.
"""
