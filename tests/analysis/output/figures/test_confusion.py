"""Confusion matrices, by their cells."""

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from synthaug.analysis.output.figures.confusion import FAINTEST, confusion_matrix
from tests.analysis.output.figures.artists import axes_of

COUNTS = np.array([[6.0, 2.0, 0.0], [0.0, 10.0, 0.0], [0.0, 1.5, 1.5]])  # (true, predicted)


def test_rows_are_true_classes_and_columns_predicted_ones() -> None:
    axes = axes_of(confusion_matrix("55", COUNTS, ["cat", "cow", "dog"]))
    texts = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "6", (0, 1): "2", (1, 1): "10", (2, 1): "1.5", (2, 2): "1.5"}
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "cow", "dog"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "cow", "dog"]
    bottom, top = axes.get_ylim()
    assert bottom > top, "the first class is on top"


def test_shade_is_the_share_of_the_row() -> None:
    axes = axes_of(confusion_matrix("55", COUNTS, ["cat", "cow", "dog"]))
    (cells,) = axes.collections
    assert isinstance(cells, PolyCollection)
    places = [tuple((np.asarray(path.vertices).min(axis=0) + 0.5).tolist()[::-1]) for path in cells.get_paths()]
    shades = dict(zip(places, np.asarray(cells.get_facecolor())[:, 3].tolist(), strict=True))
    shares = {(0, 0): 0.75, (0, 1): 0.25, (1, 1): 1.0, (2, 1): 0.5, (2, 2): 0.5}
    assert shades == pytest.approx({cell: FAINTEST + (1 - FAINTEST) * share for cell, share in shares.items()})


def test_many_classes_have_no_numbers() -> None:
    axes = axes_of(confusion_matrix("55", np.eye(20), [f"class {n}" for n in range(20)]))
    assert len(axes.texts) == 0
    assert len(axes.collections[0].get_paths()) == 20
