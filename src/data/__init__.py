"""Market data: the DuckDB store, imports, resampling, fingerprints, the synthetic market."""
