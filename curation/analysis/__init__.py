"""What runs have found, for people, made of files; changes nothing else."""
