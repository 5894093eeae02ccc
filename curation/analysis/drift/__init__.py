"""What differs between two opinions, and what of it is too much: figures and a page."""
