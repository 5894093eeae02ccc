"""Random documents with buckets and tiers, and their counts."""

import numpy as np
import pandas as pd

from curation.calibration.description import Documents, Ranked, Subject, count

CUTS = tuple(float(cut) for cut in np.linspace(-0.9, 0.9, 19, dtype=np.float32))
TIERS = (("good", (12, 19)), ("bad", (0, 11)), ("rejected", None), ("unscored", None))
NAMES = ("edu", "web", "dclm")
MEASURES = {"documents": "one", "bytes": "n_bytes", "tokens": "n_tokens"}


def subject(**changed):
    """A tiering of three classifiers by tokens, with a rule."""
    classifiers = tuple(Ranked(name, name * 8, f"{name}_score", (("", CUTS),)) for name in NAMES)
    settings = {"made_of": "abc", "partial": False, "weights": "tokens", "group": "", "tiers": TIERS}
    return Subject(**(settings | {"classifiers": classifiers, "by_maximum": True} | changed))


def documents(number=2_000, seed=0):
    """Random documents: some scores are cuts, some are missing, a few documents are rejected."""
    draw = np.random.default_rng(seed)
    found = pd.DataFrame({"one": 1, "n_bytes": draw.integers(1, 10**6, number)})
    found["n_tokens"] = (found["n_bytes"] // 4 * (draw.random(number) > 0.1)).astype(int)
    for name in NAMES:
        scores = np.where(draw.random(number) < 0.2, draw.choice(CUTS, number), draw.normal(0, 0.6, number))
        found[name] = np.where(draw.random(number) < 0.05, np.nan, scores).astype(np.float32)
        buckets = np.searchsorted(np.float32(CUTS), found[name], side="right")
        found[f"{name}_bucket"] = np.where(found[name].isna(), -1, buckets)
    buckets = found[[f"{name}_bucket" for name in NAMES]]
    found["quality"] = buckets.max(axis=1).where(buckets.min(axis=1) >= 0, -1)
    tier = np.where(found["quality"] >= 12, "good", "bad")
    tier = np.where(draw.random(number) < 0.1, "rejected", tier)
    found["tier"] = np.where(found["quality"] < 0, "unscored", tier)
    return found


def counted(found, about=None):
    """The counts of these documents."""
    names = [name for name, _ in TIERS]
    return count(
        about or subject(),
        Documents(
            found[[*MEASURES.values()]].to_numpy(float).T,
            {name: found[name].to_numpy() for name in NAMES},
            {name: found[f"{name}_bucket"].to_numpy(np.int8) for name in NAMES},
            found["quality"].to_numpy(np.int8),
            np.array([names.index(tier) for tier in found["tier"]], np.intp),
            np.zeros(len(found), np.intp),
        ),
    )
