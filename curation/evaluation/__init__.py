"""Scores and labels → how far to trust a classifier: figures with intervals, comparisons, a report."""
