"""What a run says at its end: the tier table, what was counted, what is missing; and all of it as report/report.json.

What the plan has said before, such as precisions and shared trunks, stands in the report only.
"""

import json
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from curation.classifiers.licence import licence_of
from curation.core.words import counted
from curation.data import storage
from curation.data.sidecar import read_columns
from curation.execution.audit import ROW_STATES, Audit
from curation.execution.doctor.facts import versions
from curation.execution.plan import Plan, listed
from curation.execution.tiering import Totals
from curation.execution.times import Times
from curation.stages.tier import REJECTED, UNSCORED
from curation.stages.tiering import TieringSpec

_WORTH_SAYING = {
    "made_ids": "rows had no id that could be used and got one: <file>#<position>",
    "carry_nulls": "carried values were of another type than [input] carry says, and became null",
}


FORMAT = 1
RECONCILED, INCOMPLETE, STOPPED = "reconciled", "incomplete", "stopped"
"""How a run ends: all accounted for; failed shards, waiting ones or rows that do not add up; stopped, and goes on."""

_MOST_STARTS = 50


@dataclass
class Summary:
    """The end of a run, in words and in JSON.

    `audit` is empty where a run ended before it counted. `num_waiting` shards have no complete scores. `times` are
    those of scoring, `builds` what computes on each worker, `number` that of the log, `started` seconds since 1970.
    """

    plan: Plan
    audit: Audit
    failed: Mapping[str, str]
    scored_now: Counter[str]
    times: Times
    builds: Mapping[str, str]
    num_waiting: int
    number: int
    started: float

    def say(self, console: Console, tiers: Totals | None) -> None:
        """Print it; `tiers` is what each tier holds, None if the tiering waits."""
        if tiers is not None:
            console.print(tier_table(self.plan.spec.tiering, tiers))
        for line in [*self._counts(), *self._waits(tiers), *self._problems(), f"outputs: {self.plan.layout.root}"]:
            console.print(line, highlight=False, markup=False)

    def write(self, outcome: str, tiers: Totals | None, why: str = "") -> None:
        """Keep it as report/report.json; `why` is what ended the run, if it was an error."""
        plan, audit = self.plan, self.audit
        url = plan.layout.report("report.json")
        report = {
            "format": FORMAT,
            "outcome": outcome,
            "why": why,
            "counted": bool(audit.files),
            "shards": {"planned": len(plan.shards), "waiting": self.num_waiting},
            "files": {name: dict(counts) for name, counts in sorted(audit.files.items())},
            "totals": dict(audit.totals),
            "quarantine": dict(audit.reasons.most_common()),
            "classifiers": {name: dict(counts) for name, counts in audit.scores.items()},
            "models": self._models(),
            "groups": list(plan.groups),
            "notes": list(plan.notes),
            "tiers": {tier: dict(total) for tier, total in sorted((tiers or {}).items())},
            "failed": dict(self.failed),
            "problems": audit.problems,
            "precision": {name: asdict(each) for name, each in plan.precisions.items() if each},
            "token_budget": plan.spec.scoring.token_budget,
            "scoring_s": round(self.times.wall_s, 3),
            "times": self.times.report(),
            "builds": dict(self.builds),
            "scored_now": dict(self.scored_now),
            "tokens": plan.spec.tokens.how,
            "starts": [*_starts(url), self._start(outcome)][-_MOST_STARTS:],
            "versions": versions(),
            "command": f"python pipelines/run_ensemble.py {shlex.quote(plan.layout.config_json)}",
        }
        storage.write_bytes(url, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())

    def _models(self) -> list[dict[str, str]]:
        """Where each classifier is from."""
        return [
            {
                "name": each.name,
                "kind": each.classifier.kind,
                "fingerprint": each.fingerprint,
                "model": str(getattr(each.classifier, "model", "")),
                "licence": licence_of(each.classifier),
            }
            for each in self.plan.pinned
        ]

    def _start(self, outcome: str) -> dict[str, Any]:
        """One line of the history of a directory."""
        return {
            "number": self.number,
            "started": _written(self.started),
            "ended": _written(time.time()),
            "outcome": outcome,
            "documents": self.scored_now["documents"],
            "tokens": self.scored_now["tokens"],
            "scoring_s": round(self.times.wall_s, 3),
            "workers": len(self.builds),
            "shares": self.times.report()["shares"],
            "failed": len(self.failed),
        }

    def _counts(self) -> list[str]:
        totals = self.audit.totals
        states = " + ".join(f"{totals[state]:,} {state.replace('_', ' ')}" for state in ROW_STATES)
        lines = [f"rows: {totals['read']:,} read = {states}", f"tokens: {self.plan.spec.tokens.how}"]
        for counter, words in _WORTH_SAYING.items():
            if totals[counter]:
                lines.append(f"{totals[counter]:,} {words}")
        if totals["quarantined"]:
            lines.append(f"quarantine: {self._first_quarantined()}")
        if totals["read"] and not totals["ok"]:
            lines.append("No document was scored: see input.text_column, input.where and quarantine/.")
        if self.scored_now["documents"]:
            documents, tokens = self.scored_now["documents"], self.scored_now["tokens"]
            wall_s = self.times.wall_s
            rates = f"{documents / wall_s:,.1f} documents/s, {tokens / wall_s:,.0f} tokens/s"
            lines.append(f"scored now: {documents:,} documents in {wall_s:,.1f} s: {rates}")
            lines += self.times.lines()
            lines += [f"{counted(count, 'worker')}: {build}" for build, count in Counter(self.builds.values()).items()]
        else:
            lines.append("scored now: nothing, all scores were there")
        return [*lines, *(f"{name}: {_told(counts)}" for name, counts in self.audit.scores.items())]

    def _waits(self, tiers: Totals | None) -> list[str]:
        if not self.num_waiting:
            return []
        waiting = f"{self.num_waiting:,} of {len(self.plan.shards):,} shards"
        gave_up = len(self.failed) >= self.plan.spec.max_failures
        lines = [f"stopped after {len(self.failed):,} failed shards (max_failures)"] if gave_up else []
        if tiers is not None:
            return [*lines, f"tiers: {waiting} are missing (allow_partial)."]
        return [*lines, f"tiers: wait for {waiting}; run again, or set tiering.allow_partial=true."]

    def _first_quarantined(self) -> str:
        """The first row that lies in quarantine/, with its reason."""
        layout = self.plan.layout
        files = (shard.name for shard in self.plan.shards if self.audit.files[shard.relative]["quarantined"])
        for name in files:
            url = layout.quarantine(name)
            if storage.exists(url) and (reasons := read_columns(url, ["reason"])["reason"].to_pylist()):
                return f"such as {reasons[0]!r} in {url}"
        return "see quarantine/"

    def _problems(self) -> list[str]:
        failed = [f"{name}: {error}" for name, error in self.failed.items()]
        return [*listed("failed", failed), *listed("does not add up", self.audit.problems)]


def _starts(url: str) -> list[dict[str, Any]]:
    """The earlier starts that a former report tells of."""
    if not storage.exists(url):
        return []
    try:
        return list(json.loads(storage.read_bytes(url)).get("starts", []))
    except (ValueError, AttributeError, TypeError):  # half a file of somebody else: history is not worth a failed run
        return []


def _written(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def tier_table(spec: TieringSpec, tiers: Totals) -> Table:
    """What each tier holds, by the weights that it was calibrated with."""
    all_weight = sum(total[spec.weights] for total in tiers.values())
    table = Table(title="tiers", title_justify="left")
    table.add_column("tier")
    for heading in ("quality", "documents", "bytes", "tokens", f"share of {spec.weights}"):
        table.add_column(heading, justify="right")
    ranges = [(name, f"{low} to {high}" if low < high else f"{low}") for name, (low, high) in spec.tiers]
    rejected = [(REJECTED, "")] if spec.keep else []
    for name, buckets in [*ranges, *rejected, (UNSCORED, "-1")]:
        total = tiers.get(name, Counter())
        share = total[spec.weights] / all_weight if all_weight else 0.0
        counts = (f"{total[key]:,}" for key in ("documents", "bytes", "tokens"))
        table.add_row(name, buckets, *counts, f"{share:.1%}")
    return table


def _told(counts: Mapping[str, int]) -> str:
    """The counters of a classifier that are not zero, in words."""
    told = [f"{value:,} {key.removeprefix('num_').replace('_', ' ')}" for key, value in counts.items() if value]
    return ", ".join(told)
