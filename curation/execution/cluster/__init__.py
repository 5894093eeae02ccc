"""Where the workers are: what a config says of it, processes, GPUs, Slurm. After `connect` nothing can tell."""
