"""What lies in a run directory."""


def contents(folder):
    """Path → bytes of everything in a run directory that equal work makes equal."""
    kept = ("rows", "scores", "tierings", "documents", "quarantine")
    files = (path for top in kept for path in sorted((folder / top).rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
