"""Annotations → classifiers: splits by host, heads and fastText models, evaluation, classifier directories."""
