"""Measured workloads: the same seeded data and rules for this engine and for the programs it is compared with."""
