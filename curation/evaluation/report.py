"""The figures of an evaluation as one page that needs no network: tables, plots, examples."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curation.data.labelled import Documents
from curation.evaluation import plots
from curation.pages.page import captioned, page, table, text

FILE_NAME = "report.html"
_CUT_CHARS = 400

_NAMES = {
    "spearman": "Spearman's rank correlation",
    "mae": "mean absolute error",
    "roc_auc": "ROC-AUC",
    "accuracy": "accuracy",
    "macro_f1": "macro F1 of the classes",
    "weighted_f1": "weighted F1 of the classes",
}
_QUESTION_NAMES = {
    "macro_f1": "macro F1",
    "positive_f1": "positive F1",
    "negative_f1": "negative F1",
    "precision": "precision",
    "recall": "recall",
    "roc_auc": "ROC-AUC",
    "kept_share": "share kept",
}
_HEADLINES = {"regression": "spearman", "probability": "roc_auc", "labels": "macro_f1"}

Figure = Mapping[str, Mapping[str, float | None]]


def html(figures: Mapping[str, Any], documents: Documents | None) -> str:
    """The page. Without `documents` no text and no address of one stands in it.

    Whatever a document holds is shown as text: nothing of it runs, is fetched, or reaches over its own paragraph.
    """
    parts = [_head(figures), *(_judged(each, number) for number, each in enumerate(figures["judged"]))]
    if comparison := figures.get("comparison"):
        parts.append(_comparison(comparison, documents))
    return page(f"Evaluation on {figures['data']['name']}", "\n".join(parts))


def _head(figures: Mapping[str, Any]) -> str:
    data = figures["data"]
    facts = (
        f"{data['num_documents']:,} documents from {data['num_hosts']:,} hosts, "
        f"{data['num_without_host']:,} without one; {data['num_duplicates']:,} exact "
        f"duplicates dropped. Data <code>{data['fingerprint'][:8]}</code>"
    )
    models = "".join(
        f", {text(name)} <code>{fingerprint[:8]}</code>" for name, fingerprint in figures["classifiers"].items()
    )
    overview = _overview(figures["judged"]) if figures["judged"] else ""
    return (
        f"<header><h1>Evaluation on {text(data['name'])}</h1><p class='facts'>{facts}{models}.</p></header>{overview}"
    )


def _overview(judged: Sequence[Mapping[str, Any]]) -> str:
    """One line for each that is judged."""
    rows = []
    for number, each in enumerate(judged):
        headline = _HEADLINES[each["kind"]]
        figure = each["figures"][headline]
        name = f"<a href='#judged-{number}'>{text(each['name'])}</a> <span class='note'>{text(each['question'])}</span>"
        rows.append([name, _NAMES[headline], *_three(figure), _verdict(figure["difference"])])
    head = ["", "figure", "classifier", "length alone", "difference", ""]
    note = (
        "Under each figure its 95&nbsp;% bootstrap interval, drawing hosts. Length alone is what the logarithm of a "
        "document&rsquo;s length knows of its label when it is fitted on these documents: a classifier must do better."
    )
    return f"<section><h2>At a glance</h2>{table(head, rows)}<p class='note'>{note}</p></section>"


def _verdict(difference: Mapping[str, float | None]) -> str:
    """Whether a classifier does better than length, in words."""
    low, high = difference["low"], difference["high"]
    if low is None or high is None:
        return "<span class='badge'>not defined</span>"
    if low > 0:
        return "<span class='badge good'>better than length</span>"
    return f"<span class='badge bad'>{'worse than' if high < 0 else 'not clearly better than'} length</span>"


def _judged(judged: Mapping[str, Any], number: int) -> str:
    facts = f"{judged['num_documents']:,} documents from {judged['num_hosts']:,} hosts"
    facts += (
        f"; left out: {judged['num_without_label']:,} without a label, {judged['num_without_score']:,} without a score"
    )
    if "threshold" in judged:
        flattered = "" if judged["threshold_is"] == "given" else ": the best macro F1, which flatters it"
        facts += f". Threshold {judged['threshold']:.4g}, {judged['threshold_is']}{flattered}"
    plain = {name: figure for name, figure in judged["figures"].items() if name in _NAMES}
    rows = [[_NAMES[name], *_three(figure)] for name, figure in plain.items()]
    return "".join(
        [
            f"<section id='judged-{number}'>",
            f"<h2>{text(judged['name'])} <small>{text(judged['question'])}</small></h2>",
            f"<p class='facts'>{facts}.</p>",
            table(["", "classifier", "length alone", "difference"], rows),
            _questions(judged),
            _plots(judged),
            _classes(judged),
            "</section>",
        ]
    )


def _questions(judged: Mapping[str, Any]) -> str:
    """The figures of every yes or no that is asked, one row each, beside those of length alone."""
    asked = {
        "_at_2": "class 2 or higher, score and label rounded",
        "_at_3": "class 3 or higher, score and label rounded",
        "_at_threshold": f"score ≥ {judged.get('threshold', 0):.4g}",
    }
    if "positive" in judged:
        asked["_at_threshold"] += f"; label of class {judged['positive']} or higher"
    figures = judged["figures"]
    asked = {suffix: words for suffix, words in asked.items() if f"macro_f1{suffix}" in figures}
    shown = [name for name in _QUESTION_NAMES if any(f"{name}{suffix}" in figures for suffix in asked)]
    rows = [
        [f"<strong>{words}</strong>" if whose == "classifier" else "length alone"]
        + [_measured(figures[f"{name}{suffix}"][whose]) for name in shown]
        for suffix, words in asked.items()
        for whose in ("classifier", "length_alone")
    ]
    if not rows:
        return ""
    note = (
        "Positive F1 is that of documents worth keeping, negative F1 that of the rest, macro F1 the mean of both. At a "
        "threshold that was chosen here length alone has its own best one; at a given one it keeps as many documents."
    )
    head = ["As a yes or no", *(_QUESTION_NAMES[name] for name in shown)]
    return f"{table(head, rows)}<p class='note'>{note}</p>"


def _plots(judged: Mapping[str, Any]) -> str:
    name = judged["name"]
    drawn = [("Documents by true and scored class", plots.confusion)]
    if "calibration" in judged:
        drawn += [
            ("Is a score what it says? On the dashed line it is", plots.reliability),
            ("Scores of each true class", plots.histograms),
            ("Precision and recall; grey: length alone, dot: threshold", plots.precision_recall),
        ]
    figures = "".join(captioned(draw(judged, f"{name}: {title}"), title) for title, draw in drawn)
    return f"<div class='plots'>{figures}</div>"


def _classes(judged: Mapping[str, Any]) -> str:
    what = ("precision", "recall", "f1")
    rows = [
        [text(each["class"]), *(f"{each[name]:.3f}" for name in what), f"{each['support']:,}"]
        for each in judged["classes"]
    ]
    rows += [
        [f"<em>{mean}</em>", *(f"{each[name]:.3f}" for name in what), ""] for mean, each in judged["averages"].items()
    ]
    return table(["class", "precision", "recall", "F1", "documents"], rows)


def _comparison(comparison: Mapping[str, Any], documents: Documents | None) -> str:
    facts = f"{comparison['num_documents']:,} documents that all have scored, {comparison['num_tokens']:,} tokens "
    facts += f"({text(comparison['tokens'])})."
    parts = [f"<section><h2>Compared</h2><p class='facts'>{facts}</p>", _correlations(comparison["rank_correlation"])]
    parts += [_overlap(each) for each in comparison["overlap"]]
    parts += [_disagreement(each, documents) for each in comparison["disagreements"]]
    return "".join([*parts, "</section>"])


def _correlations(correlation: Mapping[str, Any]) -> str:
    rows = []
    for name, values in zip(correlation["names"], correlation["matrix"], strict=True):
        cells = (
            f"<span class='shade' style='--share:{max(value, 0):.2f}'>{value:.3f}</span>" if value is not None else "-"
            for value in values
        )
        rows.append([text(name), *cells])
    shown = table(["", *map(text, correlation["names"])], rows)
    return f"<h3>Rank correlation</h3>{shown}<p class='note'>Spearman&rsquo;s. Length is in tokens.</p>"


def _overlap(overlap: Mapping[str, Any]) -> str:
    """Nemotron-CC's Table 8, for every two."""
    share = f"{100 * overlap['keep_share']:g}&nbsp;%"
    rows = []
    for pair in overlap["pairs"]:
        names = f"{text(pair['first'])} <span class='note'>and</span> {text(pair['second'])}"
        for what, unit in (("num_documents", "documents"), ("num_tokens", "tokens")):
            union = pair["union"][what]
            cells = (_part(pair[part][what], union) for part in ("both", "only_first", "only_second"))
            rows.append([names if unit == "documents" else "", unit, f"{union:,}", *cells])
    kept = "; ".join(
        f"{text(name)} {each['num_documents']:,} documents, {each['num_tokens']:,} tokens"
        for name, each in overlap["kept"].items()
    )
    shown = table(["", "", "union", "both", "only the first", "only the second"], rows)
    return f"<h3>What each would keep of the best {share} of all tokens</h3>{shown}<p class='note'>Kept: {kept}.</p>"


def _part(number: int, union: int) -> str:
    return f"{number:,}<br><span class='note'>{100 * number / max(union, 1):.1f}&nbsp;%</span>"


def _disagreement(pair: Mapping[str, Any], documents: Documents | None) -> str:
    title = f"<h3>Where {text(pair['first'])} and {text(pair['second'])} disagree most</h3>"
    names = pair["first"], pair["second"]
    sides = "".join(
        f"<div><h4>{text(pair[side])} prefers</h4>"
        f"{''.join(_example(each, names, documents) for each in pair[f'{side}_prefers'])}</div>"
        for side in ("first", "second")
    )
    note = "A rank is the share of documents that do not score higher."
    return f"{title}<p class='note'>{note}</p><div class='sides'>{sides}</div>"


def _example(example: Mapping[str, Any], pair: tuple[str, str], documents: Documents | None) -> str:
    ranks = "; ".join(
        f"{text(name)} <strong>{example['scores'][name]:.3g}</strong>, rank {100 * example['ranks'][name]:.0f}&nbsp;%"
        for name in pair
    )
    said = ", ".join(
        f"{text(name)} {text(value) if isinstance(value, str) else f'{value:g}'}"
        for name, value in example["labels"].items()
    )
    facts = f"{ranks}<br>labelled {said}" if said else ranks
    if documents is None:
        return f"<article><p class='note'>{text(example['id'])}<br>{facts}</p></article>"
    place = example["place"]
    whole = documents.texts[place]
    shown = whole if len(whole) <= _CUT_CHARS else f"{whole[:_CUT_CHARS]} …"
    address = f"{text(documents.ids[place])} {text(documents.urls[place] or '')}"
    return f"<article><p class='note'>{address}<br>{facts}</p><p class='text' dir='auto'>{text(shown)}</p></article>"


def _three(figure: Figure) -> Iterable[str]:
    """The cells of a classifier, of length alone and of their difference."""
    return (
        _measured(figure["classifier"]),
        _measured(figure["length_alone"]),
        _measured(figure["difference"], sign="+"),
    )


def _measured(measured: Mapping[str, float | None], sign: str = "") -> str:
    """A figure over its interval."""
    value, low, high = measured["value"], measured["low"], measured["high"]
    if value is None:
        return "<span class='note'>not defined</span>"
    interval = "no interval" if low is None or high is None else f"{low:{sign}.3f} to {high:{sign}.3f}"
    return f"{value:{sign}.3f}<br><span class='note'>{interval}</span>"
