"""The rows of the table of tasks."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sysmol import tasks


@pytest.mark.parametrize("name", list(tasks.TASKS))
@pytest.mark.parametrize("epochs", [1, 2, 5, 8, 12, 13, 17, 40])
def test_rates_rise_to_about_one_then_fall_to_nought(name: str, epochs: int) -> None:
    # A cycle of 12 epochs, whatever their number, once climbed the loss from the 13th on.
    rate = tasks.named(name).recipe.float_rate
    rates = [rate(epochs * i / 1000, epochs) for i in range(1000)]
    assert all(0 < r < 1.01 for r in rates)  # it begins at 0.01
    peak = rates.index(max(rates))
    assert all(a < b for a, b in pairwise(rates[:peak]))
    assert all(a > b for a, b in pairwise(rates[peak + 1 :]))
    assert rates[-1] < 0.02


def test_eight_epochs_are_the_start_of_twelve() -> None:
    # The zoo's twin was trained so.
    rate = tasks.FASHION_MNIST.recipe.float_rate
    assert [rate(e, 8) for e in (1.8, 3.6, 5.0)] == pytest.approx([0.51, 1.0, 5 / 6])
    assert rate(7.0, 8) == pytest.approx(1 / 2.8)
