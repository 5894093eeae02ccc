"""Annotations → classifiers: splits by host, heads and fastText models, classifier directories."""
