"""What is measured once, before the first shard, and then kept: precisions and the token budget."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from curation.core.errors import ModelError
from curation.execution import precision
from curation.execution.certifying import measure
from curation.execution.plan import Plan, make_plan
from curation.execution.precision import AUTO, EXACT, Choice, Choices
from curation.execution.spec import RunSpec
from curation.execution.window import run_window
from curation.inference.replica import load_replica

if TYPE_CHECKING:
    from distributed import Client


def settle(plan: Plan, client: "Client", console: Console) -> Plan:
    """The plan with everything measured that it left open; the choices are kept in the run directory.

    Raises ShardError, ModelError and ClusterError as measuring does.
    """
    spec = plan.asked
    choices = precision.read_choices(plan.layout)
    made = {name: choice for name, choice in plan.precisions.items() if choice}
    if plan.missing.tasks and plan.unmeasured:
        size = precision.sample_size(plan.num_bytes) or precision.FEWEST
        with console.status("Measuring precisions on documents of this run"):
            made |= measure(client, plan, size)
    kept = _kept(spec, made)
    if kept.items() - choices.items():
        precision.write_choices(plan.layout, {**choices, **kept})
    if not plan.unmeasured and plan.spec.scoring.token_budget:
        return plan
    settled = make_plan(spec)
    if not settled.spec.scoring.token_budget and settled.missing.tasks:
        with console.status("Measuring the token budget"):
            budget = _measured_budget(client, settled.spec)
        spec = replace(spec, scoring=replace(spec.scoring, token_budget=budget))
        settled = make_plan(spec)
    for line in (*precision.lines(settled.precisions), f"token budget: {settled.spec.scoring.token_budget}"):
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


def _kept(spec: RunSpec, made: dict[str, Choice]) -> Choices:
    """What is to be found again by the next run: all that was not plainly asked for, and every certificate."""
    return {
        precision.key_of(each): choice
        for each in spec.classifier
        if (choice := made.get(each.name)) and (each.precision == AUTO or choice.precision != EXACT)
    }
