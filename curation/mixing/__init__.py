"""Tiers → a mix: how many tokens of what a training run draws, and how often the same ones."""
