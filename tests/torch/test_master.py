"""The weights that are trained are finer than those that compute, and go on exactly where they were saved."""

import pytest
import torch

from synthagent.errors import RunFolderError
from synthagent.training.master import Diverged, Master
from synthagent.training.recipe import Optimiser


def model(size=8, seed=0, dtype=torch.bfloat16):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(4, size), torch.nn.Linear(size, 1)).to(dtype)


def pull(trained, master, scale=1.0):
    """One backward pass, the same every time."""
    inputs = torch.linspace(-1, 1, 8).reshape(2, 4).to(next(trained.parameters()).dtype)
    (trained(inputs).sum() * scale).backward()
    master.collect()


def copied(master):
    return {name: w.detach().clone() for name, w in master.weights.items()}


def test_updates_too_small_for_bfloat16_are_not_lost():
    trained = model()
    master = Master(trained, Optimiser(lr=1e-6))
    before, shown = copied(master), trained[0].weight.detach().clone()
    for _ in range(3):
        pull(trained, master)
        master.update(3)
    moved = (master.weights["0.weight"].detach() - before["0.weight"]).abs()
    assert float(moved.max()) == pytest.approx(3e-6, rel=0.1)
    assert torch.equal(trained[0].weight, shown), "bfloat16 cannot tell yet"
    for _ in range(2000):
        pull(trained, master)
        master.update(3)
    assert not torch.equal(trained[0].weight, shown), "in the end it does"


def test_what_was_saved_makes_the_same_next_update(tmp_path):
    trained = model(dtype=torch.float32)
    master = Master(trained, Optimiser(lr=1e-2, warmup=3))
    for _ in range(2):
        pull(trained, master)
        master.update(10)
    master.save(tmp_path / "m.safetensors")
    again = model(seed=5, dtype=torch.float32)
    other = Master(again, Optimiser(lr=1e-2, warmup=3))
    other.load(tmp_path / "m.safetensors")
    for one, it in ((trained, master), (again, other)):
        pull(one, it)
        it.update(10)
    assert (master.updates, other.updates) == (3, 3)
    for name, w in master.weights.items():
        assert torch.equal(w, other.weights[name]), name
    assert torch.equal(trained[0].weight, again[0].weight)
    other.save(tmp_path / "m.safetensors")  # over the very file it was read from


@pytest.mark.parametrize("other", [torch.nn.Linear(4, 1), model(size=9)], ids=["names", "shapes"])
def test_the_file_of_another_model_is_refused_and_changes_nothing(tmp_path, other):
    Master(model(), Optimiser()).save(tmp_path / "m.safetensors")
    master = Master(other, Optimiser())
    before = copied(master)
    with pytest.raises(RunFolderError, match="weights of another model"):
        master.load(tmp_path / "m.safetensors")
    assert all(torch.equal(w, before[name]) for name, w in master.weights.items())


def test_a_gradient_that_is_no_number_raises_and_moves_nothing():
    trained = model(dtype=torch.float32)
    master = Master(trained, Optimiser())
    before = copied(master)
    pull(trained, master, scale=float("inf"))
    with pytest.raises(Diverged, match="lower learning rate"):
        master.update(1)
    assert all(torch.equal(w, before[name]) for name, w in master.weights.items())
    pull(trained, master)
    norm, _ = master.update(1)
    assert norm > 0, "nothing of it is left"


def test_gradients_of_several_passes_add_up():
    once, twice = model(dtype=torch.float32), model(dtype=torch.float32)
    one, two = Master(once, Optimiser(max_norm=1e9)), Master(twice, Optimiser(max_norm=1e9))
    pull(once, one, 3.0)
    pull(twice, two, 1.0)
    pull(twice, two, 2.0)
    assert one.update(1)[0] == pytest.approx(two.update(1)[0])


def test_the_learning_rate_warms_up_and_falls_in_a_line_to_a_tenth():
    master = Master(model(), Optimiser(lr=1.0, warmup=2, decay="linear"))
    rates = []
    for _ in range(12):
        rates.append(master.rate(12))
        master.update(12)
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])


def test_only_what_is_to_be_trained_is_trained():
    trained = model()
    trained[0].requires_grad_(False)
    assert set(Master(trained, Optimiser()).weights) == {"1.weight", "1.bias"}
