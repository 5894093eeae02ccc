"""Files in, files out, atomically, on any fsspec path: inputs, shards, reader, sidecars, the layout of a run."""
