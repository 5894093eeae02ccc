"""Stages: score, bucket, ensemble, tier. Each adds columns to a frame."""
