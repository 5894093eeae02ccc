"""The sections on tiers: what each holds, beside what was published; who decides; how long documents are."""

from collections import defaultdict

from curation.analysis.report import charts
from curation.analysis.report.facts import Facts, buckets
from curation.analysis.report.parts import Part, bar, legend, note, nothing, percent, section
from curation.core.words import counted
from curation.pages.drawing import MUTED, NUM_KINDS, css, kind
from curation.pages.page import captioned, table, text
from curation.stages.tier import NEMOTRON_CC

OTHERS = "one of the others"
"""Of more classifiers than there are colours, those after the first seven."""
PUBLISHED = {"high": 0.1263, "medium-high": 0.1152, "medium": 0.4624, "medium-low": 0.2043, "low": 0.0918}
"""The shares of the tokens of Nemotron-CC (arXiv 2412.02595, Table 2)."""


def tiers(facts: Facts) -> str:
    """What each tier holds."""
    lead = f"A tier is a range of quality buckets. Shares are of all {facts.weights}, as this tiering weighs."
    if not facts.described:
        return section("Tiers", lead, nothing(waits(facts)))
    compared = _is_nemotron(facts)
    head = ["tier", "quality", "documents", "bytes", "tokens", f"share of {facts.weights}"]
    if compared:
        head += ["Nemotron-CC", ""]
    widest = max([*(facts.share(each) for each in facts.tiers), *PUBLISHED.values()])
    rows = []
    for each in facts.tiers:
        share, published = facts.share(each), PUBLISHED.get(each["name"]) if compared else None
        rows.append(
            [
                f"<i class='swatch' style='background:{css(facts.colors[each['name']])}'></i>{text(each['name'])}",
                buckets(each),
                *(f"{each[what]:,}" for what in ("documents", "bytes", "tokens")),
                percent(share),
                *([percent(published) if published else ""] if compared else []),
                *([_bullet(share, published, widest, facts.colors[each["name"]])] if compared else []),
            ]
        )
    remark = (
        note(
            "The bar is this run; the line across it is what was published of Nemotron-CC, 4.4 trillion tokens of "
            "English Common Crawl with three other classifiers. A comparison, and no target: other text has other "
            "shares, and should have."
        )
        if compared
        else ""
    )
    return section("Tiers", lead, table(head, rows), remark, _quality(facts))


def waits(facts: Facts) -> str:
    """Why there are no tiers to tell of."""
    if facts.described:
        return "None of the shards with tiers that were tried has all of its files."
    if waiting := facts.ended.get("shards", {}).get("waiting", 0):
        return f"Not yet: {counted(waiting, 'shard')} to be scored. Thresholds and tiers are formed over all of them."
    return "Not yet: this directory has no description of this tiering. The next run, or retier.py, makes it."


def _quality(facts: Facts) -> str:
    num_classifiers = len(facts.described["classifiers"])
    words = "Each bar is one bucket of quality, in the colour of its tier."
    if facts.is_maximum and facts.is_calibrated_here and num_classifiers > 1:
        words += (
            f" The quality is the highest bucket that any of the {num_classifiers} classifiers gives, and a classifier "
            "puts a twentieth into each of its buckets. So classifiers that always agree would give the dotted line, "
            "and classifiers that know nothing of one another the dashed one. The nearer to the dashed line, the more "
            "each adds."
        )
    elif facts.is_maximum:
        words += " The quality is the highest bucket that any classifier gives."
    return f"<div class='beside'>{captioned(charts.quality(facts), words)}</div>"


def _is_nemotron(facts: Facts) -> bool:
    return [(each["name"], (each["lowest"], each["highest"])) for each in facts.ranges] == list(NEMOTRON_CC)


def _bullet(share: float, published: float | None, widest: float, color: str) -> str:
    mark = f"<s style='left:{100 * published / widest:.2f}%'></s>" if published else ""
    return f"<div class='bullet'><i style='width:{100 * share / widest:.2f}%;background:{css(color)}'></i>{mark}</div>"


def decides(facts: Facts) -> str:
    """Which classifiers' buckets are the quality, by tier."""
    title = "Who decides"
    if not facts.described:
        return section(title, "Which classifier gives a document its quality.", nothing(waits(facts)))
    if not facts.described["decides"]:
        why = "The quality is a mean of buckets here, so that all classifiers decide together."
        if facts.is_maximum:
            why = "No document was scored, so that no classifier decides."
        return section(title, "Which classifier gives a document its quality.", nothing(why))
    names = [each["name"] for each in facts.described["classifiers"]]
    most = NUM_KINDS if len(names) <= NUM_KINDS else NUM_KINDS - 1
    shown = {name: name if place < most else OTHERS for place, name in enumerate(names)}
    colors = {name: kind(place) for place, name in enumerate(dict.fromkeys(shown.values()))}
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    involved: dict[str, int] = defaultdict(int)
    for each in facts.described["decides"]:
        who = shown[each["by"][0]] if len(each["by"]) == 1 else ""
        sums[each["tier"]][who] += each[facts.weights]
        for name in each["by"]:
            involved[name] += each[facts.weights]
    rows = []
    for each in facts.ranges:
        whole = max(sum(sums[each["name"]].values()), 1)
        shares = [(name, sums[each["name"]][name] / whole) for name in [*colors, ""]]
        parts = (Part(s, colors.get(n, MUTED), f"{n or 'several'}: {100 * s:.1f} %") for n, s in shares)
        rows.append(f"<div class='row'><span>{text(each['name'])}</span>{bar(parts)}</div>")
    total = max(sum(sum(tier.values()) for tier in sums.values()), 1)
    entries = [
        (colors[name], f"{text(name)} alone", percent(sum(tier[name] for tier in sums.values()) / total))
        for name in colors
    ]
    entries.append((MUTED, "several give the same", percent(sum(tier[""] for tier in sums.values()) / total)))
    lead = (
        "The quality of a document is the highest of its buckets. A bar shows, for each tier, which classifier gave "
        "that bucket alone, and where several gave the same one."
    )
    share = "; ".join(f"{text(name)} {percent(involved[name] / total)}" for name in names)
    remark = note(f"Of all {facts.weights}, alone or with others: {share}. A long bar in the best tier is one opinion.")
    return section(title, lead, f"<div class='rows'>{''.join(rows)}</div>", legend(entries), remark)


def lengths(facts: Facts) -> str:
    """How long documents are, and what that has to do with their tier."""
    lead = "How long documents are, and whether a tier is a matter of length."
    if not facts.described:
        return section("Length", lead, nothing(waits(facts)))
    how = text(facts.ended.get("tokens", "as the run counts them"), 80)
    first = f"Documents by their number of tokens, {how}; each step is twice as long as the one before."
    second = (
        "Of the documents of each length, the part that comes into each tier. Where the colours slope, length and "
        "quality go together. That is so of most web text: short pages are menus and stubs. A classifier that knew "
        "nothing but length would slope steeply."
    )
    drawn = captioned(charts.lengths(facts), first) + captioned(charts.tier_by_length(facts), second)
    entries = [(facts.colors[each["name"]], text(each["name"]), "") for each in facts.tiers]
    return section("Length", lead, legend(entries), f"<div class='plots'>{drawn}</div>")
