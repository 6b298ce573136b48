"""What is handed to a tracker, and to whom it can be handed."""

import pytest

from synthagent.errors import InputError
from synthagent.training.tracking import scalars, tracked
from tests.trainings import step


def test_every_number_of_a_step_has_a_name():
    found = scalars(step(3))
    assert found["step"] == 3
    assert "played.reward" in found
    assert "zero_variance" in found
    assert all(isinstance(value, float) for value in found.values())


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(InputError, match="'paper' is not one of tensorboard, trackio"), tracked("paper", tmp_path, {}):
        pass
