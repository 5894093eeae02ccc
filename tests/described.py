"""The description of a run's tiering, made from its sidecars in a few lines of pandas."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from curation.calibration.histogram import order_keys, score_of

MEASURES = ("documents", "bytes", "tokens")


def describe(run, tiering="default"):
    """The value of description.json."""
    run = Path(run)
    folder = run / "tierings" / tiering
    thresholds = json.loads((folder / "thresholds.json").read_text())
    spec = json.loads((folder / "spec.json").read_text())
    names = list(spec["classifiers"] or thresholds["classifiers"])
    scores = {name: _read(next(run.glob(f"scores/{name}-{'?' * 8}"))) for name in names}
    tiers = _read(folder / "tiers")
    rows = _read(run / "rows")
    ok = (rows["state"] == "ok").to_numpy()
    sizes = np.stack([np.ones(len(rows), int), rows["n_bytes"], rows["n_tokens"]])[:, ok]
    tiers = tiers[ok].reset_index(drop=True)
    quality = tiers["quality"].to_numpy() + 1
    buckets = {name: tiers[f"{name}_bucket"].to_numpy() + 1 for name in names}
    ranges = [(name, *limits) for name, limits in spec["tiers"]]
    ranges += [("rejected", None, None)] if spec.get("keep") else []
    described = {
        "format": 1,
        "made_of": "0" * 64,
        "partial": thresholds["partial"],
        "weights": spec["weights"],
        "tiers": [
            {"name": name, "lowest": low, "highest": high}
            | dict(zip(MEASURES, sizes[:, tiers["tier"] == name].sum(1).tolist(), strict=True))
            for name, low, high in [*ranges, ("unscored", -1, -1)]
        ],
        "quality": {"values": list(range(-1, 20))} | _sums([quality], [21], sizes),
        "classifiers": [],
        "pairs": [
            {"first": a, "second": b} | _sums([buckets[a], buckets[b]], [21, 21], sizes)
            for a, b in combinations(names, 2)
        ],
        "decides": _decides(names, buckets, quality, tiers["tier"], sizes) if spec["ensemble"] == "max" else [],
        "lengths": _lengths(sizes, tiers["tier"], [name for name, *_ in [*ranges, ("unscored", -1, -1)]]),
    }
    for name in names:
        values = scores[name][name].to_numpy(np.float32)[ok]
        bins, places = np.unique((order_keys(values) >> 16)[np.isfinite(values)], return_inverse=True)
        cuts = thresholds["classifiers"][name]
        described["classifiers"].append(
            {
                "name": name,
                "fingerprint": cuts["fingerprint"] if "cuts" in cuts else "",
                "column": name,
                "group": spec.get("group", ""),
                "cuts": list(cuts["cuts"].values()) if "cuts" in cuts else [],
                "num_missing": int((~np.isfinite(values)).sum()),
                "near_cuts": {"epsilon": 0.005, "documents": [0] * 19, "weight": [0] * 19},
                "histogram": {"scores": [score_of(int(each) << 16) for each in bins]}
                | _sums([places], [len(bins)], sizes[:, np.isfinite(values)]),
            }
        )
    return described


def write(run, tiering="default"):
    """Put it where a report looks for it."""
    path = Path(run) / "tierings" / tiering / "description.json"
    path.write_text(json.dumps(describe(run, tiering)), encoding="utf-8")


def _read(folder):
    return pd.concat([pd.read_parquet(path) for path in sorted(folder.rglob("*.parquet"))], ignore_index=True)


def _sums(places, shape, sizes):
    found = {}
    for name, size in zip(MEASURES, sizes, strict=True):
        sums = np.zeros(shape, np.int64)
        np.add.at(sums, tuple(places), size)
        found[name] = sums.tolist()
    return found


def _decides(names, buckets, quality, tiers, sizes):
    by = ["/".join(name for name in names if buckets[name][row] == quality[row]) for row in range(len(quality))]
    frame = pd.DataFrame({"by": by, "tier": tiers} | dict(zip(MEASURES, sizes, strict=True)))
    return [
        {"by": by.split("/"), "tier": tier} | {name: int(sums[name]) for name in MEASURES}
        for (by, tier), sums in frame[quality > 0].groupby(["by", "tier"]).sum().iterrows()
    ]


def _lengths(sizes, tiers, names):
    edges = [0, *(1 << power for power in range(25))]
    place = np.searchsorted(edges, sizes[2], side="right") - 1
    by_tier = {}
    for name in names:
        here = (tiers == name).to_numpy()
        by_tier[name] = {
            what: np.bincount(place[here], sizes[row][here], len(edges)).astype(int).tolist()
            for what, row in (("documents", 0), ("tokens", 2))
        }
    return {"tokens": edges, "by_tier": by_tier}
