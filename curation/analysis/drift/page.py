"""What has drifted, as one page that needs no network: what is past a limit, tiers, scores, who decides, agreement."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from curation.pages.drawing import ACCENT, MUTED, SECOND, short, svg
from curation.pages.page import captioned, page, table, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures = Mapping[str, Any]

_STYLE = """\
.limit { border-left: 3px solid var(--bad); padding-left: 0.6rem; }
.watch { border-left: 3px solid var(--second); padding-left: 0.6rem; }
.before, .after { display: inline-block; width: 0.65em; height: 0.65em; border-radius: 50%; margin-right: 0.35em; }
.sides { align-items: start; }
.sides figure { max-width: none; margin-top: 1rem; }
.before { background: var(--muted); }
.after { background: var(--accent); }
ul { padding-left: 1.1rem; margin: 0.5rem 0; }
.facts, li { overflow-wrap: anywhere; }
details { margin: 0.75rem 0; }
summary { cursor: pointer; color: var(--accent); font-size: 0.9rem; }
"""
_BEFORE, _AFTER = "<span class='before'></span>before", "<span class='after'></span>after"
_MEANING = {
    "psi": "population stability index of the scores",
    "psi_watch": "population stability index of the scores",
    "ks": "Kolmogorov&ndash;Smirnov distance of the scores",
    "tier_share": "share of a tier",
    "decides_share": "what a classifier decides alone",
    "near_share": "what lies near the cut of a tier",
    "rank_correlation": "rank correlation of two classifiers",
    "overlap_share": "overlap of the best of two classifiers",
}


def html(found: Figures) -> str:
    """The page of what `curation.calibration.drift.drift` has found."""
    parts = [_head(found), _glance(found)]
    if found.get("tiers"):
        parts.append(_tiers(found))
    parts += [_classifier(each, found) for each in found["classifiers"]]
    if found.get("decides"):
        parts.append(_decides(found["decides"], found["weights"]))
    if found.get("agreement"):
        parts.append(_agreement(found))
    return page("Drift", "\n".join(parts), style=_STYLE)


def _head(found: Figures) -> str:
    past = sum(each["level"] == "past" for each in found["findings"])
    watched = len(found["findings"]) - past
    if past:
        verdict = f"<span class='badge bad'>{past} past {'its limit' if past == 1 else 'their limits'}</span>"
    elif watched:
        verdict = f"<span class='badge'>{watched} worth a look</span>"
    else:
        verdict = "<span class='badge good'>nothing past a limit</span>"
    names = f"from {text(found['before']['name'])} to {text(found['after']['name'])}"
    return f"<header><h1>Drift</h1><p class='facts'>{names} &ensp;{verdict}</p></header>"


def _glance(found: Figures) -> str:
    rows = [
        [
            _finding(each),
            _moved_by(each["value"], each["figure"]),
            f"{100 * each['limit']:g} points" if each["figure"].endswith("_share") else f"{each['limit']:g}",
        ]
        for each in found["findings"]
    ]
    findings = table(["what moved", "by", "limit"], rows) if rows else "<p>Nothing is past a limit.</p>"
    notes = "".join(f"<li>{text(note)}</li>" for note in found["notes"])
    return (
        f"<section><h2>At a glance</h2>{findings}"
        f"{f'<h3>To know when reading this</h3><ul>{notes}</ul>' if notes else ''}{_sides(found)}</section>"
    )


def _finding(finding: Figures) -> str:
    mark = "limit" if finding["level"] == "past" else "watch"
    meaning = f"<span class='note'>{_MEANING[finding['figure']]}</span>"
    return f"<div class='{mark}'>{text(finding['says'])}<br>{meaning}</div>"


def _sides(found: Figures) -> str:
    sides = found["before"], found["after"]
    rows = []
    if all(side["described"] for side in sides):
        rows += [[measure, *(f"{side[measure]:,}" for side in sides)] for measure in ("documents", "bytes", "tokens")]
    rows += [
        ["documents weigh", *(text(side["weights"] or "not said") for side in sides)],
        ["thresholds", *(f"<code>{side['thresholds'][:8]}</code>" for side in sides)],
    ]
    if any(side["group"] for side in sides):
        rows.append(["thresholds for each", *(text(side["group"] or "all together") for side in sides)])
    return f"<h3>The two sides</h3>{table(['', _BEFORE, _AFTER], rows)}"


def _tiers(found: Figures) -> str:
    tiers, weights = found["tiers"], found["weights"]

    def draw(axes: "Axes") -> None:
        places = np.arange(len(tiers))[::-1]
        before, after = (100 * np.array([each[side] for each in tiers]) for side in ("before", "after"))
        axes.hlines(places, before, after, color=MUTED, linewidth=1.2)
        axes.plot(before, places, "o", color=MUTED, markersize=6)
        axes.plot(after, places, "o", color=ACCENT, markersize=7)
        for place, first, second in zip(places, before, after, strict=True):
            axes.text(max(first, second) + 1.2, place, f"{second - first:+.1f}", va="center", fontsize=8.5)
        axes.set_yticks(places, [short(each["name"]) for each in tiers])
        axes.set(xlabel=f"% of {weights}", xlim=(0, max(10, 1.2 * max(*before, *after))), ylim=(-0.6, len(tiers) - 0.4))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)

    drawing = svg(draw, "Share of each tier before and after", width=4.6, height=0.7 + 0.38 * len(tiers))
    caption = f"Each tier&rsquo;s share of all {weights}: {_BEFORE}, {_AFTER}. The number is the shift in points."
    rows = [
        [
            text(each["name"]),
            _range(each["quality"]),
            f"{100 * each['before']:.2f}&nbsp;%",
            f"{100 * each['after']:.2f}&nbsp;%",
            _points(each["after"] - each["before"], digits=2),
        ]
        for each in tiers
    ]
    return (
        f"<section><h2>Tiers</h2><div class='sides'>{captioned(drawing, caption)}"
        f"<div>{table(['tier', 'quality', _BEFORE, _AFTER, 'points'], rows)}</div></div></section>"
    )


def _classifier(each: Figures, found: Figures) -> str:
    name, weights = text(each["name"]), found["weights"]
    code = f" <small>model <code>{each['fingerprint'][:8]}</code></small>" if each["fingerprint"] else ""
    parts = [f"<section><h2>Scores of {name}{code}</h2>"]
    if "psi" not in each:
        parts.append(_cuts_alone(each, found["limits"]["ks"]))
    else:
        parts.append(_table_of_scores(each, found["limits"]))
        parts.append(
            f"<div class='plots'>{_buckets(each, weights)}{_moved(each, weights, found['limits']['ks'])}</div>"
        )
        if each["near_cuts"]:
            parts.append(_near_cuts(each, weights))
    parts += [_cuts(cuts, number=len(each["cuts"])) for cuts in each["cuts"]]
    return "".join([*parts, "</section>"])


def _table_of_scores(each: Figures, limits: Figures) -> str:
    stability, distance = each["psi"], each["ks"]
    value = stability["value"]
    if value > limits["psi"]:
        verdict = "<span class='badge bad'>much has moved</span>"
    elif value > limits["psi_watch"]:
        verdict = "<span class='badge'>worth a look</span>"
    else:
        verdict = "<span class='badge good'>stable</span>"
    far = distance["least"] > limits["ks"]
    rows = [
        [
            "population stability index",
            f"{value:.4f}",
            f"{stability['chance']:.4f}",
            f"{limits['psi_watch']:g}, {limits['psi']:g}",
            verdict,
        ],
        [
            "Kolmogorov&ndash;Smirnov distance",
            _interval(distance["least"], distance["most"]),
            f"{distance['chance']:.4f}",
            f"{limits['ks']:g}",
            f"<span class='badge {'bad' if far else 'good'}'>{'far apart' if far else 'close'}</span>",
        ],
    ]
    numbers, missing = each["num_scored"], each["missing_share"]
    note = (
        f"{numbers['before']:,} documents had a score before and {numbers['after']:,} have one after; without one: "
        f"{100 * missing['before']:.2f}&nbsp;% and {100 * missing['after']:.2f}&nbsp;%. &ldquo;By chance&rdquo; is "
        "what two samples of so many documents show on average (the distance: stay below 95 times in 100) though "
        "nothing has moved, if all weigh alike; unequal weights make it more."
    )
    return f"{table(['', 'value', 'by chance', 'limit', ''], rows)}<p class='note'>{note}</p>"


def _buckets(each: Figures, weights: str) -> str:
    before, after = (100 * np.asarray(each["psi"][side]) for side in ("before", "after"))
    places = np.arange(len(before))

    def draw(axes: "Axes") -> None:
        axes.bar(places, after, 0.82, color=(ACCENT, 0.45), linewidth=0)
        axes.hlines(before, places - 0.46, places + 0.46, color=MUTED, linewidth=1.8)
        axes.set(xlabel="bucket, by the cuts before", ylabel=f"% of {weights}", xlim=(-0.7, len(before) - 0.3))
        axes.set_xticks(places[::5])

    how = (
        "The cuts are equal, so every bucket is counted."
        if each["psi"]["exact"]
        else ("The cuts differ, so both are put into buckets of the cuts before, moved to the edges of bins.")
    )
    caption = (
        f"What each bucket holds: lines {_BEFORE}, bars {_AFTER}. Where nothing moves, bars reach their lines. {how}"
    )
    return captioned(svg(draw, f"Buckets of {each['name']} before and after"), caption)


def _moved(each: Figures, weights: str, limit: float) -> str:
    before, after = (100 * np.asarray(each["moved"][side]) for side in ("before", "after"))

    def draw(axes: "Axes") -> None:
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.fill_between(before, after - before, 0, color=(ACCENT, 0.18), linewidth=0)
        axes.plot(before, after - before, color=ACCENT, linewidth=1.6)
        place = int(np.abs(after - before).argmax())
        axes.plot(before[place], (after - before)[place], "o", color=SECOND, markersize=5)
        for end in (100 * limit, -100 * limit):
            axes.axhline(end, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        reach = 1.25 * max(100 * limit, float(np.abs(after - before).max()))
        axes.set(xlabel=f"% of {weights} that scored lower before", ylabel="points more after", xlim=(0, 100))
        axes.set_ylim(-reach, reach)

    caption = (
        "How much more of the weight lies below a score after than before, at every score from the lowest to the "
        "highest: above the line scores have fallen, below it they have risen. The dot is the KS distance, the dashed "
        "lines are its limit."
    )
    return captioned(svg(draw, f"Where the scores of {each['name']} have moved"), caption)


def _near_cuts(each: Figures, weights: str) -> str:
    rows = [
        [
            f"{text(near['tier'])} begins at {near['percent']}&nbsp;%",
            f"{100 * near['before']:.2f}&nbsp;%",
            f"{100 * near['after']:.2f}&nbsp;%",
            _points(near["after"] - near["before"], digits=2),
        ]
        for near in each["near_cuts"]
    ]
    note = (
        f"The share of {weights} whose score lies within a tenth of the way to the next cut: about 1&nbsp;% where "
        "scores lie evenly. What is there changes its tier when a model, a precision or a text changes a little."
    )
    return f"<h3>Near the cuts of tiers</h3>{table(['', _BEFORE, _AFTER, 'points'], rows)}<p class='note'>{note}</p>"


def _cuts_alone(each: Figures, limit: float) -> str:
    if not each["ks"]:
        return "<p class='note'>Nothing of it can be compared.</p>"
    cuts = each["cuts"][0] if len(each["cuts"]) == 1 else None
    least = f"<p>The two distributions are at least <strong>{each['ks']['least']:.2f}</strong> apart (KS distance)."
    note = (
        " The cuts were found at 5, 10 &hellip; 95&nbsp;% of the weight, each on its own data: where those before lie "
        "between those after bounds how far the scores have moved.</p>"
    )
    if cuts is None:
        return least + note

    def draw(axes: "Axes") -> None:
        percents = np.asarray(cuts["percents"])
        low, high = (100 * np.asarray(cuts["below_after"][end]) - percents for end in ("least", "most"))
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.vlines(percents, low, high, color=(ACCENT, 0.55), linewidth=6)
        for end in (100 * limit, -100 * limit):
            axes.axhline(end, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        reach = 1.25 * max(100 * limit, *np.abs(low), *np.abs(high))
        axes.set_ylim(-reach, reach)
        axes.set(xlabel="cut before, at % of the weight", ylabel="points more lie below it after", xlim=(0, 100))

    caption = (
        "Where the cuts before lie in the distribution after: somewhere on its bar, which is as long as two cuts are "
        "apart. A bar that does not touch the line has moved; past a dashed line it is flagged."
    )
    drawing = svg(draw, f"Where the cuts of {each['name']} lie after", width=6.4)
    return f"{least}{note}<div class='plots'>{captioned(drawing, caption)}</div>"


def _cuts(cuts: Figures, *, number: int) -> str:
    """The cuts of both sides, behind a word to click on."""
    below = zip(cuts["below_after"]["least"], cuts["below_after"]["most"], strict=True)
    columns = zip(cuts["percents"], cuts["before"], cuts["after"], below, strict=True)
    rows = [
        [f"{at}&nbsp;%", f"{before:.6g}", f"{after:.6g}", _percents(low, high)]
        for at, before, after, (low, high) in columns
    ]
    of = f" of {text(cuts['group'] or 'no value')}" if number > 1 or cuts["group"] else ""
    head = ["cut at", _BEFORE, _AFTER, "below the cut before, or on it, lie now"]
    return f"<details><summary>The 19 cuts{of}</summary>{table(head, rows)}</details>"


def _decides(decides: Figures, weights: str) -> str:
    rows = [
        [
            text(each["name"]),
            *(f"{100 * each[how][side]:.1f}&nbsp;%" for how in ("alone", "among") for side in ("before", "after")),
            _points(each["alone"]["after"] - each["alone"]["before"]),
        ]
        for each in decides["classifiers"]
    ]
    head = ["", "alone before", "alone after", "alone or tied before", "alone or tied after", "points alone"]
    sets = [
        [
            " = ".join(map(text, each["by"])),
            f"{100 * each['before']:.1f}&nbsp;%",
            f"{100 * each['after']:.1f}&nbsp;%",
            _points(each["after"] - each["before"]),
        ]
        for each in decides["sets"]
    ]
    note = f"The quality is the highest bucket: whose it is decides. Shares of the {weights} that have a quality."
    ties = f"<details><summary>Every tie</summary>{table(['', _BEFORE, _AFTER, 'points'], sets)}</details>"
    return f"<section><h2>Who decides</h2>{table(head, rows)}<p class='note'>{note}</p>{ties}</section>"


def _agreement(found: Figures) -> str:
    pairs = found["agreement"]
    ranks = [
        [_names(each), *(_correlation(each["rank_correlation"][side]) for side in ("before", "after"))]
        for each in pairs
    ]
    parts = [
        f"<section><h2>Agreement of classifiers</h2>{table(['rank correlation', _BEFORE, _AFTER], ranks)}",
        f"<p class='note'>Spearman&rsquo;s, of buckets, weighted by {found['weights']}.</p>",
    ]
    for place, kept in enumerate(pairs[0]["overlap"]):
        rows = [row for each in pairs for row in _kept(each, each["overlap"][place])]
        head = ["", "", "union", "both", "only the first", "only the second"]
        parts.append(f"<h3>What each keeps of its best {kept['percent']}&nbsp;%</h3>{table(head, rows)}")
    note = (
        "Documents that are in the best buckets of either classifier, and how many of them both would keep: the form "
        "of Nemotron-CC&rsquo;s Table&nbsp;8. With frozen thresholds the best buckets hold what they hold."
    )
    return "".join([*parts, f"<p class='note'>{note}</p></section>"])


def _kept(each: Figures, kept: Figures) -> Iterator[Sequence[str]]:
    for side, word in (("before", _BEFORE), ("after", _AFTER)):
        counts = {part: sums["documents"] for part, sums in kept[side].items()}
        union = max(counts["union"], 1)
        shares = (
            f"{counts[part]:,}<br><span class='note'>{100 * counts[part] / union:.1f}&nbsp;%</span>"
            for part in ("both", "only_first", "only_second")
        )
        yield [_names(each) if side == "before" else "", word, f"{counts['union']:,}", *shares]


def _names(each: Figures) -> str:
    return f"{text(each['first'])} <span class='note'>and</span> {text(each['second'])}"


def _correlation(value: float | None) -> str:
    return "<span class='note'>not defined</span>" if value is None else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    """Two bounds, or one number where they are as good as one."""
    return f"{low:.4f}" if high - low < 5e-5 else f"{low:.4f} to {high:.4f}"


def _percents(low: float, high: float) -> str:
    return f"{100 * low:.1f}&nbsp;%" if high - low < 5e-4 else f"{100 * low:.1f} to {100 * high:.1f}&nbsp;%"


def _range(buckets: Sequence[int] | None) -> str:
    if buckets is None:
        return ""
    low, high = buckets
    return f"{low}" if low == high else f"{low} to {high}"


def _moved_by(value: float, figure: str) -> str:
    if figure.endswith("_share"):
        return f"{_points(value)} points"
    return _points(value / 100, digits=3) if figure == "rank_correlation" else f"{value:.3f}"


def _points(shift: float, *, digits: int = 1) -> str:
    """A shift of a share in per cent, with its sign."""
    return f"{100 * shift:+.{digits}f}".replace("-", "&minus;")
