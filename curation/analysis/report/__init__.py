"""The report of a run: one page in one file, and a data card."""
