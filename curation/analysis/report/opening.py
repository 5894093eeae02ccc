"""What a reader sees first: how the run ended, how much there is of what, and what deserves a look."""

from collections.abc import Iterator, Sequence
from itertools import islice

from curation.analysis.report.facts import Facts
from curation.analysis.report.parts import Part, amount, bar, duration, legend, name_of, percent, size, tiles
from curation.calibration.agreement import rank_correlation
from curation.core.words import counted
from curation.execution.summary import INCOMPLETE, RECONCILED, STOPPED
from curation.pages.page import text

_MOST_FINDINGS = 14
_TRUNCATED_SHARE, _DECIDES_SHARE, _ALIKE, _FEWEST_CUTS, _OPPOSITE = 0.25, 0.6, 0.9, 15, -0.1
"""From which share of truncated documents on, of the best tier decided by one classifier alone, from which rank
correlation on, below how many different cuts, and below which correlation, the opening speaks of it."""


def opening(facts: Facts, titles: Sequence[str]) -> str:
    """The head of the page, which leads to the sections of these titles."""
    links = "".join(f"<a href='#{name_of(title)}'>{title}</a>" for title in titles)
    found = "".join(f"<li>{each}</li>" for each in islice(findings(facts), _MOST_FINDINGS))
    look = f"<h2 class='small'>Worth a look</h2><ul class='findings'>{found}</ul>" if found else ""
    return (
        f"<header><p class='eyebrow'>Quality tiers</p><h1>{text(facts.name, 120)}</h1>{_about(facts)}</header>"
        f"<section id='summary'>{_verdict(facts)}{_tiles(facts)}{_ribbon(facts)}{look}</section>"
        f"<nav aria-label='Contents'>{links}</nav>"
    )


def _about(facts: Facts) -> str:
    starts = facts.ended.get("starts", ())
    when = f"; run {starts[-1]['number']} ended {_moment(starts[-1]['ended'])}" if starts else ""
    version = facts.ended.get("versions", {}).get("curation", "").partition(" ")[0]
    by = f"; curation {text(version)}" if version else ""
    tiering = "the run&rsquo;s own tiering" if facts.tiering == "default" else f"tiering {text(facts.tiering)}"
    return f"<p class='facts'>{tiering}{when}{by}</p>"


def _moment(written: str) -> str:
    return text(written.replace("T", " ").replace("Z", " UTC"), 40)


def _verdict(facts: Facts) -> str:
    """How the last run ended, in a sentence and a line of figures."""
    ended = facts.ended
    if not ended:
        return _judged(
            "neutral", "No run has ended here yet", "What stands below is what lies in the directory so far."
        )
    shards = ended["shards"]
    done = shards["planned"] - shards["waiting"]
    progress = f"{done:,} of {counted(shards['planned'], 'shard')} scored."
    if ended["outcome"] == RECONCILED:
        return _judged("good", "Every row is accounted for", equation(facts))
    if ended["outcome"] == STOPPED:
        return _judged("neutral", "Stopped, and resumable", f"{progress} The same command goes on from here.")
    if ended["why"]:
        return _judged("bad", "The run broke off", f"{text(ended['why'], 600)} {progress}")
    causes = [
        f"{counted(len(ended['failed']), 'shard')} failed" if ended["failed"] else "",
        "something does not add up" if ended["problems"] else "",
    ]
    why = ", and ".join(filter(None, causes)) or "shards wait"
    tiered = "" if facts.described and not facts.is_former else " The tiers wait for the rest."
    return _judged("bad", f"Not complete: {why}", f"{progress}{tiered} The same command tries them again.")


def _judged(kind: str, headline: str, words: str) -> str:
    sign = {"good": "✓", "bad": "!", "neutral": "…"}[kind]
    said = f"<div><h2>{headline}</h2><p>{words}</p></div>"
    return f"<div class='verdict {kind}'><b aria-hidden='true'>{sign}</b>{said}</div>"


def equation(facts: Facts) -> str:
    """Rows read, and what became of them."""
    totals = facts.ended["totals"]
    parts = (("ok", "scored"), ("blank", "blank"), ("not_selected", "not selected"), ("quarantined", "in quarantine"))
    sums = " + ".join(f"{totals.get(state, 0):,}&nbsp;{word}" for state, word in parts)
    return f"{totals.get('read', 0):,}&nbsp;rows read = {sums}"


def _tiles(facts: Facts) -> str:
    ended, total = facts.ended, facts.total
    found = []
    if facts.described:
        how = ended.get("tokens", "")
        found += [
            (amount(total["documents"]), "documents", f"{size(total['bytes'])} of text"),
            (amount(total["tokens"]), "tokens", text(how, 60)),
        ]
        if facts.ranges:
            best = facts.ranges[0]
            remark = f"{best['documents']:,} documents"
            found.append((percent(facts.share(best)), f"of the {facts.weights} are {text(best['name'])}", remark))
    elif ended.get("counted"):
        totals = ended["totals"]
        found.append((amount(totals.get("ok", 0)), "documents scored", f"{totals.get('read', 0):,} rows read"))
    scored = [start for start in ended.get("starts", ()) if start["documents"] and start["scoring_s"]]
    if scored:
        last = scored[-1]
        workers = counted(last["workers"], "worker")
        rate = last["documents"] / last["scoring_s"]
        found.append((f"{rate:,.3g}/s", "documents scored", f"{workers}, {duration(last['scoring_s'])}"))
    elif ended:
        shards = ended["shards"]
        found.append((f"{shards['planned'] - shards['waiting']:,}", f"of {shards['planned']:,} shards scored", ""))
    return tiles(found) if found else ""


def _ribbon(facts: Facts) -> str:
    """All tiers as one bar."""
    if not facts.described:
        return ""
    shares = [(each["name"], facts.colors[each["name"]], facts.share(each)) for each in facts.tiers]
    parts = (Part(share, color, f"{name}: {100 * share:.1f} %") for name, color, share in shares)
    entries = [(color, text(name), percent(share)) for name, color, share in shares]
    return f"<h2 class='small'>Share of all {facts.weights} by tier</h2>{bar(parts, tall=True)}{legend(entries)}"


def findings(facts: Facts) -> Iterator[str]:
    """What a person should know before trusting the rest: gravest first, each with a link to where more is said."""
    ended = facts.ended
    if facts.is_former:
        yield "<b>These tiers are of an earlier state.</b> The last run has not come to forming its own."
    if facts.described.get("partial"):
        yield "<b>Thresholds were found on a part of the data</b> (<code>allow_partial</code>), and tiers may move."
    if ended:
        yield from _accounting(facts)
        yield from _models(facts)
    if facts.described:
        yield from _opinions(facts)
    yield from (f"{text(each, 300)}" for each in ended.get("notes", ()))


def _accounting(facts: Facts) -> Iterator[str]:
    ended, totals = facts.ended, facts.ended["totals"]
    if ended["failed"]:
        num_failed = counted(len(ended["failed"]), "shard")
        yield f"<b>{num_failed} failed</b> and will be tried again. <a href='#rows'>Which</a>"
    if ended["outcome"] == INCOMPLETE and ended["shards"]["waiting"]:
        yield f"Complete scores are missing of <b>{counted(ended['shards']['waiting'], 'shard')}</b>."
    if ended["problems"]:
        yield f"<b>What does not add up:</b> {text(ended['problems'][0], 300)} <a href='#rows'>All of it</a>"
    read = totals.get("read", 0)
    if aside := totals.get("quarantined", 0):
        yield f"{counted(aside, 'row')} could not be read, {percent(aside / read, 2)}. <a href='#rows'>Why</a>"
    if read and not totals.get("ok"):
        yield "<b>No document was scored.</b> See input.text_column and input.where."
    if blank := totals.get("blank", 0):
        yield f"{counted(blank, 'document')} without any text: no score, no tier."
    if made := totals.get("made_ids", 0):
        yield f"{counted(made, 'row')} had no id that could be used, and got one of file and position."
    if wrong := totals.get("carry_nulls", 0):
        yield f"{counted(wrong, 'carried value')} had another type than input.carry says, and became null."


def _models(facts: Facts) -> Iterator[str]:
    classifiers = facts.ended["classifiers"]
    parts = {
        name: each.get("num_truncated", 0) / max(each.get("num_scored", 0), 1) for name, each in classifiers.items()
    }
    if told := [f"{percent(part, 0)} ({text(name)})" for name, part in parts.items() if part > _TRUNCATED_SHARE]:
        yield f"Documents of which only the beginning was read: {', '.join(told)}. <a href='#rows'>Truncation</a>"
    for name, counts in classifiers.items():
        if missing := counts.get("num_non_finite", 0):
            yield f"<b>{text(name)} gave no finite score</b> to {counted(missing, 'document')}."
        if counts.get("num_out_of_memory", 0):
            times = counted(counts["num_out_of_memory"], "time")
            yield f"{text(name)} ran out of memory {times}; the batches were halved and done again."


def _opinions(facts: Facts) -> Iterator[str]:
    if facts.ranges and (decided := facts.described["decides"]):
        best = facts.ranges[0]
        for each in decided:
            share = each[facts.weights] / max(best[facts.weights], 1)
            if each["tier"] == best["name"] and len(each["by"]) == 1 and share > _DECIDES_SHARE:
                yield (
                    f"{percent(share, 0)} of {text(best['name'])} is there for {text(each['by'][0])} alone. "
                    "<a href='#who-decides'>Who decides</a>"
                )
    for each in facts.described["classifiers"]:
        if (different := len(set(each["cuts"]))) and different < _FEWEST_CUTS:
            yield (
                f"Many documents have the same score of {text(each['name'])}: only {different} of its 19 cuts differ, "
                "and buckets in between are empty. <a href='#scores'>Scores</a>"
            )
    for pair in facts.described["pairs"]:
        names = f"{text(pair['first'])} and {text(pair['second'])}"
        correlation = rank_correlation(pair["documents"])
        if correlation > _ALIKE:
            how = f"rank correlation {correlation:.2f}"
            yield f"{names} say nearly the same ({how}). <a href='#agreement'>Agreement</a>"
        elif correlation < _OPPOSITE:
            yield f"{names} pull in opposite directions ({correlation:.2f}). <a href='#agreement'>Agreement</a>"
