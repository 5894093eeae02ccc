"""The sections on documents: where they come from, and some of them to read."""

import math
from collections.abc import Mapping

import pandas as pd

from curation.analysis.report import origins
from curation.analysis.report.drawn import Drawn
from curation.analysis.report.examples import CUT_CHARS, Boundary, Example, Examples
from curation.analysis.report.facts import Facts
from curation.analysis.report.parts import note, nothing, percent, section
from curation.analysis.report.tiers import waits
from curation.core.words import counted
from curation.pages.drawing import css
from curation.pages.page import table, text
from curation.stages.bucket import bucket_column

_NAME_CHARS, _ADDRESS_CHARS = 80, 120


def sources(facts: Facts, drawn: Drawn | None, why_not: str = "", *, with_examples: bool = True) -> str:
    """Hosts and carried values by tier; without examples no address, wherever it stands."""
    lead = "Which hosts, and which values of carried columns, a tier has more or less of than its share."
    if drawn is None:
        return section("Sources", lead, nothing(why_not or waits(facts)))
    columns = origins.columns(drawn, with_addresses=with_examples)
    if not columns:
        why = (
            'No carried column tells documents apart. Carry some, such as <code>carry = ["url", "lang"]</code>, to see.'
        )
        return section("Sources", lead, nothing(why))
    how = (
        f"Counted on {len(drawn.frame):,} of {facts.total['documents']:,} documents: "
        f"{counted(len(drawn.shards), 'shard')} of the {drawn.num_shards:,} that have tiers, drawn by name."
    )
    tiers = drawn.frame["tier"]
    parts = [note(how)]
    for column in columns:
        expected = {str(tier): float(share) for tier, share in tiers[column.told.notna()].value_counts(True).items()}
        present = [each["name"] for each in facts.tiers if each["name"] in expected]
        counts = origins.crossed(column, tiers, present)
        title = f"Hosts of {text(column.name)}" if column.is_host else text(column.name, _NAME_CHARS)
        parts.append(f"<h3>{title} <small>{column.told.nunique():,} different</small></h3>")
        if column.has_many:
            parts.append(_standing_out(facts, counts, expected, present))
        else:
            parts.append(_crossed(counts, expected, present))
    return section("Sources", lead, *parts)


def _crossed(counts: pd.DataFrame, expected: Mapping[str, float], present: list[str]) -> str:
    if len(counts) < 2:
        all_but_few = f"{text(str(counts.index[0]), _NAME_CHARS)} has almost all" if len(counts) else "None has as many"
        return nothing(f"Values of {origins.FEWEST} documents or more are told of here: {all_but_few}.")
    rows = []
    for name, row in origins.from_the_best(counts.head(origins.MOST_VALUES)).iterrows():
        total = int(row.sum())
        cells = [_lift(row[tier] / total, expected[tier]) for tier in present]
        rows.append([text(str(name), _NAME_CHARS), f"{total:,}", *cells])
    head = ["", "documents", *(text(name) for name in present)]
    left = len(counts) - len(rows)
    more = f" {left:,} rarer values are not shown." if left > 0 else ""
    all_of_them = ["all", f"{int(counts.to_numpy().sum()):,}", *(percent(expected[tier]) for tier in present)]
    return table(head, [all_of_them, *rows]) + note(
        "Of the documents of each value, the part in each tier, the best first. Blue: more than of all documents; "
        f"orange: less; the deeper, the further.{more}"
    )


def _lift(share: float, expected: float) -> str:
    """A share, tinted by how it stands to what is expected: full at three times as much, or a third."""
    ratio = share / expected if expected else 1.0
    depth = min(abs(ratio - 1) / 2 if ratio > 1 else (1 / max(ratio, 1e-6) - 1) / 2, 1.0)
    side = "more" if ratio > 1 else "less"
    return f"<span class='lift {side}' style='--depth:{depth:.2f}'>{percent(share, 0)}</span>"


def _standing_out(facts: Facts, counts: pd.DataFrame, expected: Mapping[str, float], present: list[str]) -> str:
    cards = []
    for tier in present:
        found = origins.standing_out(counts, tier, expected[tier]) if len(counts) else origins.StandingOut((), ())
        lists = _values("more", found.more) + _values("less", found.less)
        color = css(facts.colors[tier])
        share = percent(expected[tier])
        cards.append(
            f"<div class='card'><h4><i class='swatch' style='background:{color}'></i>{text(tier)} "
            f"<small>{share} of all</small></h4>{lists or nothing('Nothing stands out.')}</div>"
        )
    remark = note(
        f"Named are values of {origins.FEWEST} documents or more whose share in the tier is surely not that of all: "
        "the 99&nbsp;% interval of the share (Wilson) lies on one side of it. They are ranked by the nearer end of "
        "it, so that a few documents prove little."
    )
    return f"<div class='cards'>{''.join(cards)}</div>{remark}"


def _values(side: str, values: tuple[origins.Value, ...]) -> str:
    items = "".join(
        f"<li><span>{text(each.name, _NAME_CHARS)}</span><b>{each.num_in_tier:,} of {each.num_documents:,}</b></li>"
        for each in values
    )
    return f"<p class='side'>{side} than its share</p><ul class='values'>{items}</ul>" if items else ""


def examples(facts: Facts, found: Examples | None, why_not: str = "") -> str:
    """Documents of each tier and of the borders between them."""
    lead = (
        "What a tier looks like. Three documents of each, drawn by chance, and beside each border the two that lie "
        f"nearest to it. Texts are cut to {CUT_CHARS} characters."
    )
    if found is None:
        return section("Examples", lead, nothing(why_not or waits(facts)))
    if not found.by_tier:
        return section("Examples", lead, nothing(f"Their texts cannot be read: {text(found.problem, 400)}"))
    parts = []
    for tier, documents in found.by_tier.items():
        if documents:
            color = css(facts.colors[tier])
            articles = "".join(_article(facts, each) for each in documents)
            parts.append(
                f"<h3><i class='swatch' style='background:{color}'></i>{text(tier)}</h3><div "
                f"class='articles'>{articles}</div>"
            )
    borders = "".join(_border(facts, each) for each in found.boundaries)
    if borders:
        parts.append("<h3>At the borders</h3>")
        parts.append(note("Nearest by score. If these two look alike, the cut is as good as any nearby."))
        parts.append(borders)
    if found.problem:
        parts.append(note(text(found.problem)))
    return section("Examples", lead, *parts)


def _border(facts: Facts, boundary: Boundary) -> str:
    sides = "".join(
        f"<div><p class='side'>{words} {text(tier)}</p>{''.join(_article(facts, each) for each in documents)}</div>"
        for words, tier, documents in (
            ("just inside", boundary.upper, boundary.above),
            ("just below it, in", boundary.lower, boundary.below),
        )
    )
    return f"<div class='border'>{sides}</div>" if boundary.above and boundary.below else ""


def _article(facts: Facts, example: Example) -> str:
    row = example.row
    chips = "".join(
        f"<span>{text(each['name'])} <b>{_number(row.get(each['column']))}</b>"
        f" → {_bucket(row.get(bucket_column(each['name'])))}</span>"
        for each in facts.described["classifiers"]
    )
    addresses = [value for value in row.values() if isinstance(value, str) and "://" in value]
    whose = text(addresses[0] if addresses else str(row["id"]), _ADDRESS_CHARS)
    shown = text(example.text) + (" …" if example.is_cut else "")
    quality = f"quality {int(row['quality'])}, {int(row['n_tokens']):,} tokens"
    return (
        f"<article><p class='whose'>{whose}</p><p class='text' dir='auto'>{shown}</p>"
        f"<p class='chips'><span>{quality}</span>{chips}</p></article>"
    )


def _number(value: float | None) -> str:
    return "none" if value is None or math.isnan(value) else f"{value:.3g}"


def _bucket(value: int | None) -> str:
    return "none" if value is None or value < 0 else f"bucket {int(value)}"
