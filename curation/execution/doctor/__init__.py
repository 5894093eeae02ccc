"""Whether a cluster can do what a config asks of it: facts gathered on its nodes, then judged, before a large run."""
