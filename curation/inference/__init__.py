"""Texts → model outputs: tokens, batches, trunks and heads, as fast as the machine can and the same for any batching.

`trunk` and `heads` import torch; everything else here works without it, so that a plan can name what is shared.
"""
