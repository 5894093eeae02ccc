"""A run: plan, cluster, tasks, calibration, tiers, audit. The only part that knows Dask."""
