"""Pages that people read: one HTML file that needs no network and no script, with plots inside."""
