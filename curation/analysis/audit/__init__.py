"""What people say of the tiers: a sheet of documents to judge, and how far they agree."""
