"""A map of real and synthetic images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from synthaug.analysis.output.figures import palette
from synthaug.analysis.output.figures.canvas import axes_in_inches, shorten, style
from synthaug.analysis.synthetic.embedding_map import EmbeddingMap

SIDE = 4.4  # inches
MAX_NAMED = 20  # classes whose names are written


@style()
def set_map(points: EmbeddingMap, classes: Sequence[str]) -> Figure:
    """Draw real images in grey and synthetic ones above them, with the name of each class amid its real images.

    Args:
        points: of the map.
        classes: names by label.
    """
    figure, axes = axes_in_inches(SIDE, SIDE, left=0.05, bottom=0.05, top=0.3, right=0.05)
    real, synthetic = points.points[: points.n_real], points.points[points.n_real :]
    for part, colour, size, name in (
        (real, palette.FAINT, 5.0, f"real ({len(real)})"),
        (synthetic, palette.ARMS[0], 4.0, f"synthetic ({len(synthetic)})"),
    ):
        axes.scatter(part[:, 0], part[:, 1], s=size, color=colour, alpha=0.7, linewidths=0, label=name)
    labels = points.labels[: points.n_real] if points.n_real else points.labels
    placed = real if points.n_real else synthetic
    present = np.unique(labels)
    for label in present if len(present) <= MAX_NAMED else ():
        x, y = np.median(placed[labels == label], axis=0)
        name = shorten(classes[label])
        box = {"boxstyle": "round,pad=0.15", "facecolor": palette.PAPER, "edgecolor": "none", "alpha": 0.7}
        axes.text(x, y, name, ha="center", va="center", fontsize=9, fontweight="bold", color=palette.INK, bbox=box)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0, markerscale=2)
    figure.set_label(
        f"Map of {len(real)} real and {len(synthetic)} synthetic images by their embeddings ({points.method})"
    )
    return figure
