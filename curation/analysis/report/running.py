"""The sections on the run itself: where its time went, what became of every row, and what it was made of."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from curation.analysis.report.facts import Facts, without_credentials
from curation.analysis.report.parts import Part, bar, duration, legend, note, nothing, percent, section
from curation.core.words import counted
from curation.execution.times import ADVICE
from curation.pages.drawing import MUTED, kind
from curation.pages.page import table, text

_MOST_LISTED = 12
_MOST_CONFIG_CHARS = 30_000
_STATES = ("read", "ok", "blank", "not_selected", "quarantined")
_WORTH_SHOWING = 0.005
_COUNTERS = (
    ("num_scored", "scored"),
    ("num_truncated", "truncated"),
    ("num_tokens", "tokens seen"),
    ("num_non_finite", "not finite"),
    ("num_above_highest", "above the scale"),
    ("num_overflowed", "redone in float32"),
    ("num_out_of_memory", "out of memory"),
)


def time(facts: Facts) -> str:
    """How fast documents were scored, and what the workers did meanwhile."""
    lead = "How fast documents were scored, what the workers spent their time on, and what would make it faster."
    scored = [start for start in facts.ended.get("starts", ()) if start["scoring_s"] and start["documents"]]
    if not scored:
        why = "No document has been scored since a report of this directory is kept."
        return section("Time", lead, nothing(why), _history(facts))
    last = scored[-1]
    documents, tokens = (last[what] / last["scoring_s"] for what in ("documents", "tokens"))
    told = (
        f"Run {last['number']} scored {last['documents']:,} documents in {duration(last['scoring_s'])} on "
        f"{counted(last['workers'], 'worker')}: <b>{documents:,.3g} documents</b> and <b>{tokens:,.0f} tokens</b> a "
        "second."
    )
    shares = {what: share for what, share in last["shares"].items() if share >= _WORTH_SHOWING}
    shares["other"] = max(0.0, 1 - sum(shares.values()))
    colors = {what: kind(place) if what != "other" else MUTED for place, what in enumerate(shares)}
    drawn = bar((Part(s, colors[what], f"{what}: {100 * s:.1f} %") for what, s in shares.items()), tall=True)
    entries = [(colors[what], text(what), percent(share)) for what, share in shares.items() if share]
    most = next(iter(last["shares"]), "")
    verdict = note(
        f"Bound by {text(ADVICE.get(most, most))}. Reading and writing count as far as the models waited for them."
    )
    return section("Time", lead, f"<p>{told}</p>", drawn, legend(entries), verdict, _history(facts))


def _history(facts: Facts) -> str:
    """The starts of this directory, the newest first."""
    starts = list(reversed(facts.ended.get("starts", ())))
    if len(starts) < 2:
        return ""
    rows = [
        [
            f"{start['number']}",
            text(start["started"].replace("T", " ").replace("Z", ""), 40),
            text(start["outcome"], 40),
            f"{start['documents']:,}",
            duration(start["scoring_s"]) if start["scoring_s"] else "",
            f"{start['failed']:,}",
        ]
        for start in starts[:_MOST_LISTED]
    ]
    head = ["run", "started (UTC)", "ended", "documents scored", "scoring took", "failed shards"]
    return "<h3>Starts of this run</h3>" + table(head, rows)


def rows(facts: Facts) -> str:
    """What became of every row, and what the classifiers met."""
    lead = (
        "What became of every row. Read must be scored, blank, not selected and in quarantine together, in every file."
    )
    ended = facts.ended
    if not ended:
        return section("Rows", lead, nothing("Counted when a run ends."))
    parts = [] if ended["counted"] else [nothing("Rows are counted when a run comes to its end; this one broke off.")]
    if ended["counted"]:
        parts.append(_files(ended))
    parts += [*_quarantine(ended), *_classifiers(ended)]
    parts += _listed("Failed shards", [f"{name}: {error}" for name, error in ended["failed"].items()])
    parts += _listed("What does not add up", ended["problems"])
    return section("Rows", lead, *parts)


def _files(ended: Mapping[str, Any]) -> str:
    files = sorted(ended["files"].items(), key=lambda item: (-item[1].get("quarantined", 0), item[0]))
    shown = files[:_MOST_LISTED]
    head = ["", "read", "scored", "blank", "not selected", "in quarantine"]
    all_of_them = [["<b>all files</b>", *(f"<b>{ended['totals'].get(state, 0):,}</b>" for state in _STATES)]]
    lines = [[text(name, 160), *(f"{counts.get(state, 0):,}" for state in _STATES)] for name, counts in shown]
    left = len(files) - len(shown)
    remark = note(f"{left:,} more files are in report.json; those with most in quarantine come first.") if left else ""
    return table(head, all_of_them + lines) + remark


def _quarantine(ended: Mapping[str, Any]) -> Iterator[str]:
    reasons, num_rows = ended["quarantine"], ended["totals"].get("quarantined", 0)
    if not num_rows:
        return
    lines = [[text(reason, 160), f"{count:,}"] for reason, count in list(reasons.items())[:_MOST_LISTED]]
    if left := num_rows - sum(list(reasons.values())[:_MOST_LISTED]):
        lines.append(["not told by their files", f"{left:,}"])
    yield "<h3>Why rows are in quarantine</h3>"
    yield table(["reason", "rows"], lines)
    yield note("The rows themselves, with their positions and what they hold, lie in <code>quarantine/</code>.")


def _classifiers(ended: Mapping[str, Any]) -> Iterator[str]:
    counts = ended["classifiers"]
    if not counts:
        return
    used = [
        (key, words)
        for key, words in _COUNTERS
        if key == "num_scored" or any(each.get(key) for each in counts.values())
    ]
    lines = []
    for name, each in counts.items():
        cells = [f"{each[key]:,}" if each.get(key) else "" for key, _ in used]
        share = each.get("num_truncated", 0) / max(each.get("num_scored", 0), 1)
        cells = [f"{cell} <span class='note'>{percent(share, 0)}</span>" if key == "num_truncated" and share else cell
                 for cell, (key, _) in zip(cells, used, strict=True)]  # fmt: skip
        lines.append([text(name), *cells])
    yield "<h3>What the classifiers met</h3>"
    yield table(["", *(words for _, words in used)], lines)
    if any(key == "num_truncated" for key, _ in used):
        yield note(
            "Truncated: the document is longer than its classifier reads, which judged the beginning alone. For more: "
            "<code>max_tokens</code>, or <code>long_documents</code> in chunks."
        )


def _listed(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    items = "".join(f"<li>{text(line, 500)}</li>" for line in lines[:_MOST_LISTED])
    left = len(lines) - _MOST_LISTED
    more = note(f"{left:,} more are in report.json.") if left > 0 else ""
    return [f"<h3>{title}</h3><ul class='findings'>{items}</ul>{more}"]


def provenance(facts: Facts) -> str:
    """What it was made of, and how to make it again."""
    ended, described = facts.ended, facts.described
    parts = []
    if ended:
        parts.append(f"<h3>The command that repeats it</h3><pre><code>{text(ended['command'], 1000)}</code></pre>")
        parts.append("<h3>Classifiers</h3>")
        lines = [
            [
                text(each["name"]),
                text(each["kind"]),
                f"<code>{text(each['fingerprint'][:16])}</code>",
                text(each["model"], 120),
                text(each["licence"] or "not stated", 80),
            ]
            for each in ended["models"]
        ]
        parts.append(_words(["", "kind", "fingerprint", "model", "licence"], lines))
        parts.append(
            note(
                "A fingerprint is a hash of weights, tokenizer and settings: equal fingerprints give equal scores. The "
                "licence is that which a model&rsquo;s card, its bundle or the catalog states."
            )
        )
        parts += _precisions(ended)
        builds = dict.fromkeys(ended["builds"].values())
        lines = [[text(name), text(version or "not installed", 80)] for name, version in ended["versions"].items()]
        lines += [["workers", text(build, 160)] for build in list(builds)[:3]]
        parts.append(f"<h3>Versions</h3>{_words(['', 'version'], lines)}")
    if described:
        made_of = f"<code>{text(described['made_of'][:16])}</code>"
        parts.append(note(f"Tiers of {text(facts.tiering)}: made of {made_of}, thresholds weighed by {facts.weights}."))
    settings = {"config.json": without_credentials(facts.config)}
    shown = json.dumps(settings | ({"spec.json": facts.opinion} if facts.opinion else {}), indent=1)
    parts.append(
        "<h3>Config</h3><details><summary>config.json, resolved, and the spec.json of the tiering</summary>"
        f"<pre><code>{text(shown, _MOST_CONFIG_CHARS)}</code></pre></details>"
    )
    lead = "Everything that this run was made of. Equal input, config and fingerprints give equal bytes."
    return section("Provenance", lead, *parts)


def _precisions(ended: Mapping[str, Any]) -> Iterator[str]:
    lines = [[text(name), text(each["precision"]), text(each["why"], 200)] for name, each in ended["precision"].items()]
    if lines:
        yield "<h3>Precision</h3>"
        yield _words(["", "precision", "why"], lines)


def _words(head: list[str], lines: list[list[str]]) -> str:
    """A table of words, which stand to the left."""
    return f"<div class='words'>{table(head, lines)}</div>"
