"""The data card of a run: Markdown with the header that the Hugging Face hub reads."""

import json
from collections.abc import Iterator

from curation.analysis.report.facts import Facts, buckets
from curation.core.words import counted
from curation.execution.summary import RECONCILED

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
    (10_000_000_000, "1B<n<10B"),
    (100_000_000_000, "10B<n<100B"),
    (1_000_000_000_000, "100B<n<1T"),
)


def markdown(facts: Facts) -> str:
    """The card, to stand as README.md at the root of a data set that is made of this run's directory."""
    parts = [_header(facts), f"# {_plain(facts.name)}", *_about(facts), *_tiers(facts), *_made(facts), *_limits(facts)]
    return "\n\n".join(parts) + "\n"


def _header(facts: Facts) -> str:
    """YAML, of which JSON strings are a part. The licence is the owner's to state."""
    lines = ["---", f"pretty_name: {_quoted(facts.name)}", "# license: say here under which the documents are"]
    if num_documents := facts.total["documents"]:
        category = next((name for most, name in _SIZES if num_documents < most), "n>1T")
        lines.append(f"size_categories: [{json.dumps(category)}]")
    lines += ["task_categories: [text-generation]", "tags: [pretraining, quality-tiers, curation]"]
    if facts.config.get("documents") and facts.tiering == "default" and facts.described:
        lines.append("configs:")
        for tier in facts.tiers:
            if tier["documents"]:
                files = f"documents/quality={tier['name']}/**/*.parquet"
                lines += [f"- config_name: {_quoted(tier['name'])}", f"  data_files: {_quoted(files)}"]
    return "\n".join([*lines, "---"])


def _about(facts: Facts) -> Iterator[str]:
    total = facts.total
    if not facts.described:
        yield "Documents that are being sorted into quality tiers. There are no tiers yet."
        return
    yield (
        f"{total['documents']:,} documents, {total['bytes']:,} bytes of text, {total['tokens']:,} tokens "
        f"({_plain(facts.ended.get('tokens', 'as counted by the run'))}), each in one quality tier."
    )
    read = facts.ended.get("totals", {})
    if read:
        yield (
            f"Of {read.get('read', 0):,} rows read, {read.get('ok', 0):,} were scored, {read.get('blank', 0):,} were "
            f"blank, {read.get('not_selected', 0):,} not selected, and {read.get('quarantined', 0):,} could not be "
            "read."
        )


def _tiers(facts: Facts) -> Iterator[str]:
    if not facts.described:
        return
    lines = [
        f"| tier | quality | documents | bytes | tokens | share of {facts.weights} |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for each in facts.tiers:
        sums = " | ".join(f"{each[what]:,}" for what in ("documents", "bytes", "tokens"))
        lines.append(f"| {_plain(each['name'])} | {buckets(each)} | {sums} | {100 * facts.share(each):.1f} % |")
    yield "## Tiers"
    yield "\n".join(lines)


def _made(facts: Facts) -> Iterator[str]:
    yield "## How it was made"
    if facts.described:
        names = [each["name"] for each in facts.described["classifiers"]]
        how = {"max": "the highest of them", "mean": "their mean", "weighted": "their weighted mean"}
        cuts = "19 cuts that were found elsewhere" if facts.is_frozen else "19 cuts, exact quantiles of all scores"
        if group := facts.opinion.get("group"):
            cuts += f", for each {_plain(str(group))} its own"
        yield (
            f"{counted(len(names), 'classifier')} scored every document: {', '.join(map(_plain, names))}. Each score "
            f"became one of 20 buckets by {cuts}, weighed by {facts.weights}; the quality is "
            f"{how[facts.opinion.get('ensemble', 'max')]}, and a tier is a range of quality."
        )
    if models := facts.ended.get("models"):
        lines = ["| classifier | kind | model | licence | fingerprint |", "|---|---|---|---|---|"]
        lines += [
            f"| {_plain(each['name'])} | {_plain(each['kind'])} | {_plain(each['model'])} | "
            f"{_plain(each['licence'] or 'not stated')} | `{each['fingerprint'][:16]}` |"
            for each in models
        ]
        yield "\n".join(lines)
    if facts.ended:
        version = facts.ended["versions"].get("curation", "").partition(" ")[0]
        yield f"Made with curation {_plain(version)}; `config.json` has every setting, and the report all figures."


def _limits(facts: Facts) -> Iterator[str]:
    yield "## Limits"
    limits = [
        "A tier says what classifiers think of a text, not whether it is true, safe, or free to use.",
        "Classifiers have the taste of those who labelled their data, and do worse on text unlike it.",
    ]
    for name, counts in facts.ended.get("classifiers", {}).items():
        if scored := counts.get("num_scored", 0):
            share = counts.get("num_truncated", 0) / scored
            limits += (
                [f"{_plain(name)} read only the beginning of {100 * share:.0f} % of the documents."] if share else []
            )
    if facts.ended and facts.ended["outcome"] != RECONCILED:
        limits.append("It is incomplete: the last run did not come to its end, or could not account for every row.")
    if facts.is_former:
        limits.append("The tiers are those of an earlier state of the data.")
    if facts.described.get("partial"):
        limits.append("The cuts were found on a part of the data.")
    yield "\n".join(f"* {limit}" for limit in limits)


def _quoted(words: str) -> str:
    """A string of YAML, which knows no surrogates: characters beyond 16 bits stand as they are."""
    return json.dumps("".join(each if each.isprintable() else " " for each in words), ensure_ascii=False)


def _plain(words: str) -> str:
    """A word of somebody else inside Markdown: on one line, without what would be markup."""
    shown = "".join(character if character.isprintable() else " " for character in words)[:200]
    return "".join(f"\\{character}" if character in r"\`*_{}[]<>()#+!|~" else character for character in shown)
