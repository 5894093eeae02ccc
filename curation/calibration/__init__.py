"""Calibration: the cuts that turn raw scores into 20 buckets, exact over all the data."""
