"""How much a run trains: what arms have equally much of."""

from collections.abc import Mapping
from typing import Any

from synthaug.errors import UserError


def images_per_epoch(settings: Mapping[str, Any], n_real: int, n_synthetic: int) -> int | None:
    """Return how many images an epoch of a run shows; None for as many as it has.

    By equal steps, as many as the real training set has. By equal cost, what is left of that once the synthetic images
    are paid for: each costs as much as showing `image_price` images, and the bill is that of the real training set.

    Args:
        settings: of the run, as `config.yaml` has them.
        n_real: images of the real training set, whatever of it the run keeps.
        n_synthetic: synthetic images of the run.

    Raises:
        UserError: the synthetic images cost as much as the bill, so that nothing is left to train with.
    """
    if settings["budget"] == "epochs":
        return None
    if settings["budget"] == "steps":
        return n_real
    epochs, price = settings["trainer"].get("max_epochs") or 0, settings["image_price"]
    bill = epochs * n_real
    left = (bill - price * n_synthetic) / epochs if epochs > 0 else 0
    if left < settings["batch_size"]:
        raise UserError(
            f"budget=cost: {n_synthetic:,} synthetic images at image_price={price:g} are {price * n_synthetic:,.0f} of "
            f"the {bill:,} trainings on an image that all real images take in {epochs} epochs, which leaves less than "
            "a batch an epoch: raise trainer.max_epochs, and with it the bill of every arm, or choose another mix."
        )
    return round(left)
