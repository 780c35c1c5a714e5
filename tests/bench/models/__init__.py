"""The comparison behind "a model that earns its place": emitted probabilities beside batch models, truth and chance.

`python -m tests.bench.models` runs it and writes MODELS.md; one module per step:

- `history` - one pass of `models.backtest` (what `ebbtide backtest` runs), of which some days are kept;
- `batch` - logistic regression and gradient boosting of scikit-learn, refitted at every cut-off on all that is known
  by then; a program of its own, run in an environment of its own (`tests.bench.venvs`);
- `compare` - measures, and paired differences with customers as the independent units;
- `run` - the parts, as tables.
"""
