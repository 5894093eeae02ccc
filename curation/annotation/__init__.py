"""Texts → annotations: rubrics, endpoints of language models, and what becomes of their replies."""
