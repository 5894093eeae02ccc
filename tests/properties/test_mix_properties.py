"""Plans of mixes, whatever is asked: within supply and limits, shares within theirs, the tokens of every phase."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.core.errors import ConfigError
from curation.mixing.plan import plan
from curation.mixing.solving import TOLERANCE, limits, most_tokens
from curation.mixing.spec import CountedSupply, Limit, MixSpec, Phase, Share, Upsampling, matches
from curation.mixing.supply import counted_source

TIERS, TOPICS = ("high", "medium", "low"), ("law", "sport")
WHOLE = "can be had in whole ones"  # which are a bound of their own, where sources are small
NEARLY = 1e-6  # of the tokens: what the solver leaves open


@st.composite
def mixes(draw):
    """A mix of a few sources with labels, of any sizes, in one to three phases within limits and shares."""
    sources = tuple(
        CountedSupply(
            f"s{place}",
            tokens,
            (("tier", draw(st.sampled_from(TIERS))), ("topic", draw(st.sampled_from(TOPICS))), ("quality", str(place))),
        )
        for place, tokens in enumerate(draw(st.lists(st.integers(1, 10**13), min_size=1, max_size=9)))
    )
    known = [dict(each.labels) for each in sources]
    wheres = st.sampled_from(
        [((key, (value,)),) for key in ("tier", "topic") for value in sorted({each[key] for each in known})]
    )
    limit = (
        Limit(draw(st.floats(0.1, 8.0))),
        *draw(st.lists(st.builds(Limit, st.floats(0.0, 8.0), wheres), max_size=3)),
    )
    ranges = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), min_size=2, max_size=2).map(sorted)
    share = [Share(draw(wheres), *draw(ranges)) for _ in range(draw(st.integers(0, 3)))]
    total = sum(each.tokens for each in sources) * draw(st.floats(0.01, 8.0))
    parts = draw(st.lists(st.floats(0.1, 1.0), min_size=1, max_size=3))
    phases = tuple(Phase(str(place), max(1.0, total * part / sum(parts))) for place, part in enumerate(parts))
    upsampling = draw(st.sampled_from([None, Upsampling(a=0.0)]))
    return MixSpec("out", phases, source=sources, limit=limit, share=tuple(share), upsampling=upsampling)


def of(spec):
    """The plan of a mix; None, and what could be had instead, where it is refused."""
    try:
        return plan(spec), ""
    except ConfigError as error:
        return None, error.mistakes[-1]


@settings(max_examples=150, deadline=None)
@given(mixes())
def test_a_plan_never_draws_more_than_supply_times_limit_and_keeps_shares_and_phases(spec):
    found, _ = of(spec)
    if found is None:
        return
    supply = np.asarray([each.num_tokens for each in found.sources])
    assert (found.tokens >= 0).all()
    assert (found.tokens.sum(axis=1) <= supply * limits(spec, found.sources) + 1e-6).all()
    wanted = np.asarray([each.tokens for each in spec.phase])
    assert found.tokens.sum(axis=0) == pytest.approx(wanted, abs=0.5 + TOLERANCE * wanted.sum())
    slack = len(supply) + NEARLY * wanted.sum()
    for share in spec.share:
        inside = [matches(each.labels, share.where) for each in found.sources]
        drawn = found.tokens[inside].sum(axis=0)
        assert (drawn >= share.least * wanted - slack).all()
        assert (drawn <= share.most * wanted + slack).all()


@settings(max_examples=60, deadline=None)
@given(mixes())
def test_what_a_refused_plan_says_could_be_had_can_be_had(spec):
    found, said = of(spec)
    total = sum(each.tokens for each in spec.phase)
    if found is not None or WHOLE in said:
        return
    assert said.endswith("of what is wanted.")
    most = most_tokens(spec, [counted_source(each) for each in spec.source])
    assert most < total
    smaller = tuple(Phase(each.name, each.tokens * most / total * 0.99) for each in spec.phase)
    if most > NEARLY * total and min(each.tokens for each in smaller) >= 1:
        found, said = of(MixSpec("out", smaller, (), spec.source, spec.limit, spec.share, spec.upsampling))
        assert found is not None or WHOLE in said
