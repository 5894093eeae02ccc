"""A plan → replies → labels, in a directory that the same command goes on with."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from curation.annotation import sample
from curation.annotation.agreement import agreement
from curation.annotation.asking import Asked, ask_all
from curation.annotation.labels import Labels, counts, labels
from curation.annotation.plan import Plan, sample_url
from curation.annotation.progress import Totals
from curation.annotation.replies import Replies
from curation.config import dump
from curation.data import sidecar, storage

DONE, UNANSWERED, STOPPED = 0, 1, 75
_BATCH_ROWS = 1_000


def annotate(planned: Plan, console: Console) -> int:
    """Ask what is due, write what the replies say, say it. Gives the exit code.

    0: every question has a reply, though it may be one that could not be read. 1: some have none; the next run asks
    them again. 75: stopped by a signal. Raises EndpointError and ShardError, after what was paid has become labels.
    """
    spec = planned.spec
    storage.write_bytes(storage.join(spec.output, "config.json"), _json(dump(spec)))
    sample.write(sample_url(spec), planned.sample, planned.sample_identity)
    replies = Replies(Path(spec.replies_path))
    totals = Totals(sum(1 for _, due in planned.due(replies) for _ in due))
    due = planned.due(replies)
    asked = asyncio.run(ask_all(due, replies, totals, spec.max_failures, console)) if totals.num_due else Asked()
    replies = Replies(Path(spec.replies_path))  # another run that took over while this one slept may have added some
    found = [labels(planned, column, replies, asked.unanswered) for column in planned.columns]
    agreed = agreement(found)
    _write(planned, found, agreed, totals)
    for line in _lines(planned, found, agreed):
        console.print(line)
    if asked.error:
        raise asked.error
    if asked.was_stopped:
        console.print("Stopped; start the same command again to go on.")
        return STOPPED
    return UNANSWERED if asked.unanswered else DONE


def _write(planned: Plan, found: Sequence[Labels], agreed: Sequence[Mapping[str, Any]], totals: Totals) -> None:
    output = planned.spec.output
    _write_labels(storage.join(output, "annotations.parquet"), planned, found)
    failures = b"".join(_line(failure) for each in found for failure in each.failures)
    storage.write_bytes(storage.join(output, "failures.jsonl"), failures)
    if agreed:
        storage.write_bytes(storage.join(output, "agreement.json"), _json(agreed))
    storage.write_bytes(storage.join(output, "report.json"), _json(_report(planned, found, totals)))


def _write_labels(url: str, planned: Plan, found: Sequence[Labels]) -> None:
    """annotations.parquet: id, url, text, lang and a float for each column of labels; a missing one is null."""
    texts = [pa.field(name, pa.large_string()) for name in ("id", "url", "text", "lang")]
    values = [pa.field(each.column.label, pa.float32()) for each in found]
    with sidecar.SidecarWriter(url, pa.schema(texts + values)) as writer:
        for start in range(0, len(planned.sample.documents), _BATCH_ROWS):
            rows = slice(start, start + _BATCH_ROWS)
            documents = planned.sample.documents[rows]
            columns: dict[str, Any] = {each.column.label: each.values[rows] for each in found}
            columns |= {field.name: [getattr(each, field.name) or None for each in documents] for field in texts}
            writer.write(columns)
        rubrics = {each.column.label: [each.column.annotator.model, *each.column.rubric.identity] for each in found}
        writer.finish({"kind": "annotations", "sample": planned.sample_identity, "labels": rubrics})


def _report(planned: Plan, found: Sequence[Labels], totals: Totals) -> dict[str, Any]:
    return {
        "num_documents": len(planned.sample.documents),
        "num_cut": planned.num_cut,
        "drawn_from": dict(planned.sample.available),
        "notes": [*planned.notes, *planned.sample.notes],
        "labels": {each.column.label: _label_report(each) for each in found},
        "this_run": {
            "num_replies": totals.num_replies,
            "num_unreadable": totals.num_unreadable,
            "num_unanswered": totals.num_unanswered,
            "prompt_tokens": totals.prompt_tokens,
            "completion_tokens": totals.completion_tokens,
            "num_uncounted": totals.num_uncounted,
            "cost": totals.cost,
            "requests_per_s": totals.requests_per_s,
            "tokens_per_s": totals.tokens_per_s,
            "elapsed_s": totals.elapsed_s,
        },
    }


def _label_report(found: Labels) -> dict[str, Any]:
    finite = found.values[np.isfinite(found.values)]
    return {
        "annotator": found.column.annotator.name,
        "model": found.column.annotator.model,
        "rubric": found.column.rubric.name,
        "version": found.column.rubric.version,
        "num_labelled": found.num_labelled,
        "num_incomplete": found.num_incomplete,
        "num_apart": found.num_apart,
        "num_unreadable": found.num_unreadable,
        "num_unanswered": found.num_unanswered,
        "mean": float(finite.mean()) if len(finite) else None,
        "counts": dict(counts(found)),
        "prompt_tokens": found.prompt_tokens,
        "completion_tokens": found.completion_tokens,
        "num_uncounted": found.num_uncounted,
        "cost": found.cost,
    }


def _lines(planned: Plan, found: Sequence[Labels], agreed: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is said at the end."""
    spec = planned.spec
    lines = []
    for each in found:
        spread = ", ".join(f"{value}: {count:,}" for value, count in counts(each))
        apart = f"; {each.num_apart:,} fell out with rounds {spec.spread_below:g} or more apart" * (spec.rounds > 1)
        cost = f"; cost {each.cost:,.2f}" if each.cost else ""
        unknown = f" (unknown for {each.num_uncounted:,} replies)" if each.num_uncounted else ""
        lines.append(
            f"{each.column.label}: {each.num_labelled:,} of {len(each.values):,} documents have a label ({spread}); "
            f"{each.num_unreadable:,} replies unreadable, {each.num_unanswered:,} questions unanswered{apart}; "
            f"{each.prompt_tokens:,} tokens in, {each.completion_tokens:,} out{unknown}{cost}."
        )
    lines += [
        f"{pair['first']} and {pair['second']}: quadratic-weighted kappa {pair['quadratic_weighted_kappa']}, mean "
        f"absolute error {pair['mae']} over {pair['num_documents']:,} documents. Confusion (rows: {pair['first']}, "
        f"values {', '.join(f'{value:g}' for value in pair['values'])}): {pair['confusion']}"
        for pair in agreed
    ]
    if any(each.failures for each in found):
        lines.append(f"Failures, each with its reason and the raw reply: {storage.join(spec.output, 'failures.jsonl')}")
    return [*lines, f"Labels: {storage.join(spec.output, 'annotations.parquet')}"]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _line(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n").encode()
