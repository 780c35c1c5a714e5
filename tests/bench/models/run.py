"""All parts of the comparison, as tables of one page."""

from __future__ import annotations

import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from models.evaluation import auc, ece, log_loss
from models.features import FEATURES
from models.settings import LabelSettings, TrainerSettings
from models.simulator.settings import SimulatorSettings
from models.simulator.truth import SimulatedTruth
from streams.sources.registry import open_sources
from tests.bench.models.compare import Judged, differences, told
from tests.bench.models.history import DAY_S, Floats, History, heard, live, told_instead
from tests.bench.report import Table, cpu_model, memory_gb
from tests.bench.venvs import PeerUnavailable, peer_python

RESULTS = Path(__file__).parents[1] / "MODELS.md"
#: Run by a Python of its own, which has scikit-learn.
_BATCH = Path(__file__).with_name("batch.py")
EMITTED = "emitted by ebbtide"
_BATCH_WITHIN_S = 3_600.0


class Plan(msgspec.Struct, frozen=True):
    """What to run. Batch models learn one in `every` days of each customer; `cdnow` is the path of its file."""

    parts: tuple[str, ...]
    every: int = 1
    cdnow: str = ""
    cache: Path = Path("data/.bench")


def day_of(year: int, month: int, day: int) -> int:
    """Days since 1970."""
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) // DAY_S


def completejourney(plan: Plan) -> Iterator[Table]:
    """Weekly cut-offs from 4 October to 15 November 2017, of those active within 30 days and of all."""
    cutoffs = [day_of(2017, 11, 15) - 7 * back for back in range(6, -1, -1)]
    for name, within in (("bought within 30 days", 30.0), ("ever bought", 3_650.0)):
        label = LabelSettings(kind="inactivity", horizon_days=30.0, active_within_days=within)
        history = live(open_sources(["completejourney"]).events, label, lambda _: True)
        yield _against_batch(f"Complete Journey, {name}: no basket within 30 days", history, cutoffs, plan)


def cdnow(plan: Plan) -> list[Table]:
    """1 March 1998, no purchase within 90 days, all who ever bought."""
    cutoff = day_of(1998, 3, 1)
    label = LabelSettings(kind="inactivity", horizon_days=90.0, active_within_days=3_650.0)
    source = f"cdnow:{plan.cdnow}" if plan.cdnow else "cdnow"
    end = float((cutoff + 91) * DAY_S)  # when it is known who bought again
    history = live(open_sources([source]).events, label, lambda day: (day - cutoff) % 7 == 0, end=end)
    return [_against_batch("CDNOW: no purchase within 90 days of 1 March 1998", history, [cutoff], plan)]


def simulator(plan: Plan) -> list[Table]:
    """Against each customer's own probability, from the time when 2,000 labels were learned."""
    del plan
    world = SimulatorSettings(customers=3_000, days=240)
    label = LabelSettings(kind="cancellation", horizon_days=30.0)
    source = f"simulator:customers={world.customers},days={world.days}"
    first = day_of(2025, 1, 1)
    history = live(open_sources([source]).events, label, lambda day: (day - first) % 7 == 0)
    truth = SimulatedTruth(world)
    ids = [history.ids[number] for number in history.customer.tolist()]
    own = truth.probabilities(ids, (history.day * DAY_S).astype(float).tolist(), 30.0)
    known = (history.label >= 0) & np.isfinite(own)
    rows = []
    for least, most in ((2_000, 10_000), (10_000, 10**9)):
        chosen = known & (history.learned >= least) & (history.learned < most)
        if not chosen.any():
            continue
        name = f"{least:,} to {most:,} labels" if most < 10**9 else f"from {least:,} labels"
        y = history.label[chosen]
        for who, p in (
            ("the simulator's own probability", own), (EMITTED, history.emitted), ("recency rule", history.rule),
            *((f"{form} alone", p) for form, p in history.own.items() if np.isfinite(p[chosen]).all()),
        ):  # fmt: skip
            rows.append((name, who, f"{chosen.sum():,}", *_figures(y, p[chosen])))
    notes = (_champions(history), _last_half(history))
    title = f"Simulator, {world.customers:,} customers, {world.days} days: cancels within 30 days"
    return [Table(title, ("learned", "probability", "rows", "AUC", "log loss", "ECE"), rows, notes)]


def null(plan: Plan) -> list[Table]:
    """All labels of a run exchanged among its examples: nobody may be promoted, and nothing may be predicted."""
    del plan
    label = LabelSettings(kind="inactivity", horizon_days=30.0)
    labels: list[int] = []
    live(open_sources(["completejourney"]).events, label, _monthly, prepare=heard(labels))
    mixed = np.random.default_rng(1).permutation(labels).tolist()
    history = live(open_sources(["completejourney"]).events, label, _monthly, prepare=told_instead(mixed))
    found = history.learner.metrics()
    names = [name.removeprefix("auc_") for name in found if name.startswith("auc_")]
    rows = [(name, f"{found[f'auc_{name}']:.4f}", f"{found[f'log_loss_{name}']:.4f}") for name in names]
    notes = (f"{history.learner.examples:,} examples learned with the labels of others", _champions(history))
    return [Table("Null control: Complete Journey with shuffled labels", ("predictor", "AUC", "log loss"), rows, notes)]


def _monthly(day: int) -> bool:
    return day % 28 == 0


def _against_batch(title: str, history: History, cutoffs: list[int], plan: Plan) -> Table:
    at = np.isin(history.day, cutoffs)
    if (history.label[at] < 0).any():
        raise ValueError(f"{title}: labels of cut-offs are not known yet")
    said: dict[str, Floats] = {EMITTED: history.emitted[at]}
    notes = []
    try:
        found, versions = _batch(history, cutoffs, plan)
        said |= {"batch logistic regression": found["logistic"], "batch gradient boosting": found["boosting"]}
        notes.append(f"batch models ({versions}): refitted at each cut-off on all matured rows"
                     + (f", every {plan.every}th prediction of each customer" if plan.every > 1 else ""))  # fmt: skip
    except PeerUnavailable as error:
        notes.append(f"batch models could not be run: {error}")
    own = {name: values[at] for name, values in history.own.items()}
    said |= {f"{name} alone, uncalibrated": p for name, p in own.items() if np.isfinite(p).all()}
    said["recency rule"] = history.rule[at]
    label, cutoff, customers = history.label[at], history.day[at], history.customer[at]
    judged = {name: Judged(label, p, cutoff) for name, p in said.items()}
    apart = differences(judged, customers, EMITTED)
    rows = [
        (name, f"{one.auc.value:.4f}", f"{one.log_loss.value:.4f}", f"{one.ece:.4f}",
         *(map(told, apart[name]) if name in apart else ("", "")))
        for name, one in judged.items()
    ]  # fmt: skip
    notes += [
        (
            f"{len(cutoffs)} cut-offs, {at.sum():,} predictions of {len(np.unique(customers)):,} customers, "
            f"{label.mean():.1%} left; means over cut-offs; differences with 95 % intervals by customer"
        ),
        _champions(history),
        _last_half(history),
        (
            f"{history.events:,} events, {history.learner.examples:,} examples, {history.events / history.cpu_s:,.0f} "
            "events per second of CPU"
        ),
    ]
    columns = ("probability", "AUC", "log loss", "ECE", "AUC: ours minus its", "log loss: ours minus its")
    return Table(title, columns, rows, tuple(notes))


def _batch(history: History, cutoffs: list[int], plan: Plan) -> tuple[dict[str, Floats], str]:
    """What the batch models say at the cut-offs, and their versions."""
    python, versions = peer_python("sklearn", plan.cache)
    used = (history.customer + history.day) % plan.every == 0
    used |= np.isin(history.day, cutoffs)
    logs = np.array([feature.transform == "log1p" for feature in FEATURES])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        np.savez(
            source, x=history.x[used], logs=logs, label=_thinned(history, plan)[used], day=history.day[used],
            horizon=round(history.learner.horizon_days), cutoffs=np.array(cutoffs),
        )  # fmt: skip
        command = [str(python), str(_BATCH), str(source), str(target)]
        subprocess.run(command, check=True, timeout=_BATCH_WITHIN_S)
        with np.load(target) as found:
            return {name: found[name] for name in found.files}, versions


def _thinned(history: History, plan: Plan) -> npt.NDArray[np.int8]:
    """Labels to learn from: those of cut-off days only where the day is one of the customer's."""
    mine = (history.customer + history.day) % plan.every == 0
    return np.where(mine, history.label, -1).astype(np.int8)


def _figures(label: npt.NDArray[np.int8], p: Floats) -> tuple[str, str, str]:
    return f"{auc(label, p):.4f}", f"{log_loss(label, p):.4f}", f"{ece(label, p):.4f}"


def _champions(history: History) -> str:
    first = history.day[0]
    told_ = [f"{name} from day {day - first} ({learned:,} labels)" for name, day, learned in history.champions]
    return f"served: {', then '.join(told_)}"


def _last_half(history: History) -> str:
    days = history.day[history.label >= 0]
    half = (days.min() + days.max()) / 2.0
    label, p = history.rows(history.day >= half)
    return f"ECE of all that was emitted in the last half of the run: {ece(label, p):.4f} ({len(p):,} predictions)"


PARTS: dict[str, Callable[[Plan], Iterable[Table]]] = {
    "completejourney": completejourney,
    "cdnow": cdnow,
    "simulator": simulator,
    "null": null,
}


def run(plan: Plan) -> list[Table]:
    """Measure all parts of the plan, printing each table when it is done.

    Raises
    ------
    SourceError
        A data set is not there.
    """
    tables: list[Table] = []
    for part in plan.parts:
        begun = time.monotonic()
        for table in PARTS[part](plan):
            print(table.markdown(), flush=True)
            tables.append(table)
        print(f"\n{part}: {time.monotonic() - begun:.0f} s\n", flush=True)
    return tables


def page(tables: Sequence[Table], before: str = "") -> str:
    """The whole page as Markdown. Sections of the page `before` that were not measured anew stay, in their places."""
    parts = before.split("\n## ")[1:]
    sections = {part.partition("\n")[0]: f"## {part.strip()}" for part in parts}
    sections |= {table.title: table.markdown() for table in tables}
    head = ["# How good the models are", "", "Written by `python -m tests.bench.models`; see there for how.", ""]
    facts = (
        (
            f"- {cpu_model()}, {memory_gb():.0f} GB, Python {platform.python_version()}, numpy {version('numpy')}, "
            f"river {version('river')}"
        ),
        f"- candidates: {', '.join(TrainerSettings().candidates)}; all settings but the label's are the defaults",
    )
    return "\n".join([*head, *facts, "", "\n\n".join(sections.values()), ""])
