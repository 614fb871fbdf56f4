"""What the user asks for: one pydantic model per section of the YAML."""

from mpifl.job.read import dump_job, load_yaml, parse_job, read_job
from mpifl.job.schema import Job
from mpifl.job.section import Section

__all__ = ["Job", "Section", "dump_job", "load_yaml", "parse_job", "read_job"]
