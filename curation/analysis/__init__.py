"""What a run has found, for people: a report and a data card, made of files; changes nothing else."""
