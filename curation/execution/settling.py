"""What is measured once, before the first shard, and then kept: precisions and the token budget."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from curation.core.errors import ModelError
from curation.execution import choices
from curation.execution.certifying import measure
from curation.execution.choices import EXACT, Choice
from curation.execution.plan import Plan, make_plan
from curation.execution.spec import RunSpec
from curation.execution.window import run_window
from curation.inference.replica import load_replica

if TYPE_CHECKING:
    from distributed import Client


def settle(plan: Plan, client: "Client", console: Console, stopping: Callable[[], bool]) -> Plan:
    """The plan with everything measured that it left open; the choices are kept in the run directory.

    As it is, when `stopping()` turns true meanwhile. Raises ModelError and ClusterError as measuring does.
    """
    made = {name: choice for name, choice in plan.precisions.items() if choice}
    if plan.missing.tasks and plan.unmeasured:
        size = choices.sample_size(plan.found.num_bytes) or choices.FEWEST
        with console.status("Measuring precisions on documents of this run"):
            made |= measure(client, plan, size, stopping)
        if stopping():
            return plan
    _keep(plan, made)
    if not plan.unmeasured and plan.spec.scoring.token_budget:
        return plan
    scoring = plan.asked.scoring
    if not plan.spec.scoring.token_budget and plan.missing.tasks:
        classifiers = (
            choices.in_precision(each, made[each.name].precision) if each.name in made else each
            for each in plan.spec.classifier
        )
        with console.status("Measuring the token budget"):
            budget = _measured_budget(client, replace(plan.spec, classifier=tuple(classifiers)))
        scoring = replace(scoring, token_budget=budget)
    settled = make_plan(replace(plan.asked, scoring=scoring))
    for line in (*choices.lines(settled.precisions), f"token budget: {settled.spec.scoring.token_budget}"):
        console.print(line, highlight=False, markup=False)
    return settled


def token_budget(spec: RunSpec) -> int:
    """The token budget with which this worker is fastest. Runs on a worker."""
    return load_replica(spec.classifier, spec.scoring).find_budget()


def _measured_budget(client: "Client", spec: RunSpec) -> int:
    (outcome,) = run_window(client, token_budget, [spec])
    if outcome.result is None:
        raise ModelError(outcome.error)
    return outcome.result


def _keep(plan: Plan, made: Mapping[str, Choice]) -> None:
    """Write down what the next run is to find again; asking for exact once takes back nothing that was left open."""
    before = choices.read_choices(plan.layout)
    kept = {
        key: choice
        for each in plan.asked.classifier
        if (choice := made.get(each.name)) and not ((key := each.fingerprint()) in before and each.precision == EXACT)
    }
    if kept.items() - before.items():
        choices.write_choices(plan.layout, {**before, **kept})
