"""Who the clients are: federated data sets and device traces in HDF5."""
