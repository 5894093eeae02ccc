import numpy as np
import pytest

from curation.data.lots import lots


def test_lots_are_even_and_of_their_own_for_every_shard():
    first, second = (lots(0, shard, np.arange(100_000)) for shard in ("a", "b"))
    shares = np.bincount((first >> np.uint64(60)).astype(int), minlength=16) / len(first)
    assert shares == pytest.approx(np.full(16, 1 / 16), abs=0.004)
    assert abs(np.corrcoef(first.astype(float), second.astype(float))[0, 1]) < 0.02
    assert len(set(first.tolist())) == len(first)


def test_a_lot_follows_from_seed_shard_and_position_alone():
    assert lots(1, "a", np.arange(10))[7] == lots(1, "a", np.asarray([7]))[0]
    assert not set(lots(1, "a", np.arange(10)).tolist()) & set(lots(2, "a", np.arange(10)).tolist())
