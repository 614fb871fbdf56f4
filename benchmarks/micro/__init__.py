"""One part at a time, in seconds: ``python -m benchmarks.micro.<name>`` from the root of a checkout."""
