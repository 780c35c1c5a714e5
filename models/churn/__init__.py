"""Churn models: a prior, a recency rule and a logistic regression, learned online and served as plain data.

`learner.Learner` takes matured examples one by one and hands out a `serving.ServingModel`, which every scorer applies
to whole chunks. `record` is the published model and its checks, `forms` what each kind of model is in it and how it
is applied; `prior`, `rule`, `logistic` and `calibration` learn.
"""
