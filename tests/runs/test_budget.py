"""What arms have equally much of."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthaug.errors import UserError
from synthaug.runs.budget import images_per_epoch


def settings(budget: str, price: float | None = None, epochs: int = 8) -> dict[str, Any]:
    return {"budget": budget, "image_price": price, "batch_size": 32, "trainer": {"max_epochs": epochs}}


def test_epochs_and_steps() -> None:
    assert images_per_epoch(settings("epochs"), 1000, 500) is None
    assert images_per_epoch(settings("steps"), 1000, 500) == 1000


@given(st.integers(100, 5000), st.integers(0, 5000), st.floats(0, 10), st.integers(1, 50))
def test_training_and_generation_cost_what_the_real_images_cost(
    n: int, synthetic: int, price: float, epochs: int
) -> None:
    try:
        shown = images_per_epoch(settings("cost", price, epochs), n, synthetic)
    except UserError:
        assert epochs * n - price * synthetic < 32 * epochs
    else:
        assert shown is not None
        assert epochs * shown + price * synthetic == pytest.approx(epochs * n, abs=epochs / 2 + 1e-6)


def test_free_images_leave_all_of_the_training() -> None:
    assert images_per_epoch(settings("cost", 0.0), 1000, 500) == images_per_epoch(settings("steps"), 1000, 500)


def test_a_bill_that_is_spent_before_training_is_refused() -> None:
    with pytest.raises(UserError, match=r"raise trainer\.max_epochs"):
        images_per_epoch(settings("cost", 10.0), 1000, 800)
