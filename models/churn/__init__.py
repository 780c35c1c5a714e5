"""Churn models: a prior, a recency rule and a logistic regression, learned online and served as plain data.

`learner.Learner` takes matured examples one by one and hands out a `serving.ServingModel`, which every scorer applies
to whole chunks. `record` is the published form and its checks; `prior`, `rule`, `logistic` and `calibration` are
the parts.
"""
