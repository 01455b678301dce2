"""The one place that imports matplotlib: whatever its user's settings, a figure looks the same.

A backend, a style or a matplotlibrc of the user's own has no part in our figures, and ours none in
the user's.
"""

import contextlib
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from train.common.errors import InputError

# A notebook's kernel names its own backend to every program that is started from it. Matplotlib
# fails to be imported where it does not know the name.
_backend = os.environ.pop("MPLBACKEND", None)
_is_first = "matplotlib" not in sys.modules
try:
    import matplotlib as mpl
    from matplotlib import style, ticker
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
except ValueError as error:  # it reads the user's files when it is imported
    raise InputError(f"matplotlib: cannot read its matplotlibrc or a style: {error}") from None

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
    if _is_first:
        with contextlib.suppress(ValueError):
            mpl.rcParams["backend"] = _backend  # as the import would have done

__all__ = [
    "GREY",
    "STYLES",
    "Axes",
    "Figure",
    "drawing",
    "drawn",
    "plain",
    "render",
    "styles",
    "ticker",
]

# Okabe and Ito's colours, told apart by colour-blind readers; the dashes help in grey.
STYLES: dict[str, tuple[str, Any]] = {
    "sgdm": ("#000000", "-"),
    "rsgdm": ("#D55E00", "-"),
    "nesterov": ("#0072B2", (0, (4, 2))),
    "rsgdm_compact": ("#E69F00", (0, (1, 1))),
    "sgd": ("#009E73", "-."),
    "adam": ("#CC79A7", "-"),
    "rsadam": ("#CC79A7", (0, (4, 2))),
    "nadam": ("#56B4E9", "-"),
    "adan": ("#B8A800", "-"),
}
_OTHERS: list[tuple[str, Any]] = [
    (colour, dashes)
    for dashes in ((0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
    for colour in ("#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#B8A800")
]
GREY = "0.55"
_SETTINGS: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "svg.hashsalt": "rsgdm_optax",  # the same data give the same file
}


def styles(arms: Iterable[str]) -> dict[str, tuple[str, Any]]:
    """Colour and line of each arm; one that is not built in takes the next of the others."""
    names = list(dict.fromkeys(arms))
    unknown = [name for name in names if name not in STYLES]
    others = {name: _OTHERS[k % len(_OTHERS)] for k, name in enumerate(unknown)}
    return {name: STYLES.get(name) or others[name] for name in names}


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Figures made in it have matplotlib's default settings and ours."""
    with style.context(_SETTINGS, after_reset=True), warnings.catch_warnings():
        # A name in a script that the font lacks shows as boxes.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield


def plain(name: str) -> str:
    """A name as matplotlib is to show it.

    A dollar sign begins no mathematics, and an underscore does not keep it out of the legend.
    """
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def render(figure: Figure, suffix: str, *, text_as_paths: bool = False) -> bytes:
    """A figure as PNG or SVG; an SVG has the numbers that it shows in its description.

    Args:
      figure: made in `drawing`.
      suffix: "png" or "svg".
      text_as_paths: whether an SVG shows its text where its font is missing, too.
    """
    buffer = io.BytesIO()
    with drawing():
        if suffix == "png":
            figure.savefig(buffer, format="png", backend="agg", dpi=200)
        else:
            mpl.rcParams["svg.fonttype"] = "path" if text_as_paths else "none"
            description = json.dumps(drawn(figure), separators=(",", ":"))
            metadata = {"Date": None, "Description": description}
            figure.savefig(buffer, format="svg", backend="svg", metadata=metadata)
    return buffer.getvalue()


def drawn(figure: Figure) -> list[dict[str, Any]]:
    """What a figure shows, for each of its axes: labels, scales, lines, bands; six digits."""
    every = [axes for outer in figure.axes for axes in (outer, *outer.child_axes)]
    return [_shown(axes) for axes in every]


def _shown(axes: Any) -> dict[str, Any]:
    bands = [band for band in axes.collections if isinstance(band, PolyCollection)]
    return {
        "labels": [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()],
        "scales": [axes.get_xscale(), axes.get_yscale()],
        "texts": [text.get_text() for text in axes.texts],
        "lines": [[_label(line.get_label()), *_columns(line.get_xydata())] for line in axes.lines],
        "bands": [_columns(path.vertices) for band in bands for path in band.get_paths()],
    }


def _label(label: Any) -> str:
    return "" if str(label).startswith("_") else str(label)  # matplotlib's own, of a line without


def _columns(points: Any) -> list[list[float | None]]:
    """Each coordinate's values; None where there is no point."""
    return [
        [None if math.isnan(value) else float(f"{value:.6g}") for value in column]
        for column in points.T.tolist()
    ]
