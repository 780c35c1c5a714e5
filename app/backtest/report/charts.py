"""The charts of a report as inline SVG, drawn by matplotlib without a screen.

Colours are drawn as stand-ins and replaced by the variables of the page's style, so that one drawing serves light, dark
and paper. Texts stay texts: they can be read aloud, found and copied.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import matplotlib as mpl
import matplotlib.dates as mpl_dates
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from models.evaluation import Interval, ReliabilityBin

#: Stand-ins, and the variables that they become.
COLOURS: Final = {
    "ink": "#010203", "soft": "#010204", "line": "#010205", "tide": "#010206", "warm": "#010207", "mute": "#010208",
    "card": "#010209",
}  # fmt: skip
TONES: Final = {"model": "tide", "rule": "warm", "prior": "mute", "chance": "mute", "expected": "mute", "real": "warm"}
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": COLOURS["line"], "axes.labelcolor": COLOURS["soft"],
    "axes.titlesize": 9, "axes.grid": True, "grid.color": COLOURS["line"], "grid.linewidth": 0.6,
    "axes.axisbelow": True, "xtick.color": COLOURS["line"], "ytick.color": COLOURS["line"],
    "xtick.labelcolor": COLOURS["soft"], "ytick.labelcolor": COLOURS["soft"], "text.color": COLOURS["ink"],
    "legend.frameon": False, "legend.fontsize": 8.5, "lines.linewidth": 1.7, "path.simplify": True,
}  # fmt: skip
#: Inches; a page shows it about half as wide as a desktop window, or as wide as a phone.
_SIZE: Final = (4.5, 2.75)
Points = Mapping[str, Sequence[float]]
#: matplotlib.dates has no types.
_dates: Any = mpl_dates
_DASHED: Final[dict[str, Any]] = {"color": COLOURS["mute"], "linestyle": (0, (4, 3)), "linewidth": 1.2}


@contextmanager
def _axes(found: list[str], name: str, title: str, says: str) -> Iterator[Axes]:
    """Axes to draw on; the SVG is added to `found`. `says` is the chart in words, for who cannot see it."""
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        yield axes
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    found.append(_inline(out.getvalue(), name, title, says))


def _inline(svg: str, name: str, title: str, says: str) -> str:
    svg = svg[svg.index("<svg ") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Groups are named alike in every chart; only what is referred to needs a name, and has one of its own.
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    box = re.search(r'viewBox="[^"]*"', svg)
    head = (
        f'<svg role="img" aria-labelledby="{name}-t {name}-d" {box[0] if box else ""} '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-t">{html.escape(title)}</title><desc id="{name}-d">{html.escape(says)}</desc>'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def lines(
    name: str, title: str, says: str, curves: Mapping[str, Points], *, x: str, y: str, chance: Points | None = None,
    percent: str = "", floor: float | None = None, best: tuple[float, float] | None = None,
) -> str:  # fmt: skip
    """Curves by the name of their predictor. `percent` names the axes in per cent: `x`, `y` or `xy`."""
    found: list[str] = []
    with _axes(found, name, title, says) as axes:
        if chance is not None:
            axes.plot(
                chance["x"], chance["y"], color=COLOURS["mute"], linestyle=(0, (4, 3)), linewidth=1.2, label="chance"
            )
        for label, points in reversed(list(curves.items())):
            axes.plot(points["x"], points["y"], color=COLOURS[TONES[label]], label=label)
        if best is not None:
            axes.plot(*best, marker="o", markersize=5, color=COLOURS["tide"])
        _dress(axes, x, y, percent)
        if floor is not None:
            axes.set_ylim(bottom=floor)
    return found[0]


def over_time(
    name: str, title: str, says: str, times: Sequence[datetime], series: Mapping[str, Sequence[Interval | None]], *,
    y: str, band: str | None = None, percent: str = "",
) -> str:  # fmt: skip
    """One line per predictor over cut-offs, with the interval of `band` as an area; None is a hole."""
    found: list[str] = []
    with _axes(found, name, title, says) as axes:
        days = [float(_dates.date2num(at)) for at in times]
        for label, values in reversed(list(series.items())):
            told = [(day, one) for day, one in zip(days, values, strict=True) if one is not None]
            if not told:
                continue
            at = [day for day, _ in told]
            colour = COLOURS[TONES[label]]
            axes.plot(at, [one.value for _, one in told], color=colour, label=label)
            if label == band:
                low, high = [one.low for _, one in told], [one.high for _, one in told]
                axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        _dress(axes, "", y, percent)
        locator = _dates.AutoDateLocator(minticks=3, maxticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(_dates.ConciseDateFormatter(locator))
    return found[0]


def reliability(name: str, title: str, says: str, bins: Sequence[ReliabilityBin]) -> str:
    """What was said against what came, with the interval of what came."""
    found: list[str] = []
    with _axes(found, name, title, says) as axes:
        top = max([0.1, *(max(one.high, one.probability) for one in bins)])
        axes.plot([0, top], [0, top], label="as said", **_DASHED)
        said = [one.probability for one in bins]
        came = [one.rate for one in bins]
        spread = [[one.rate - one.low for one in bins], [one.high - one.rate for one in bins]]
        axes.errorbar(
            said, came, yerr=spread, color=COLOURS["tide"], marker="o", markersize=4, linewidth=1.2, label="model"
        )
        _dress(axes, "probability told", "share that left", "xy")
    return found[0]


def _dress(axes: Axes, x: str, y: str, percent: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.tick_params(length=0)
    for axis, letter in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        axis.set_major_locator(MaxNLocator(6))
        if letter in percent:
            axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        else:
            axis.set_major_formatter(FuncFormatter(_plain))
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: list(TONES).index(labels[i]) if labels[i] in TONES else -1)
    axes.legend([handles[i] for i in order], [labels[i] for i in order], loc="best")


def _plain(value: float, _: Any) -> str:
    return f"{value:g}"
