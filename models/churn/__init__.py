"""Churn models: a prior, a recency rule and learned candidates, served as plain data.

`learner.Learner` takes matured examples one by one and hands out a `serving.ServingModel`, which every scorer applies
to whole chunks. The way of a model: `candidates` learn (one file each, found by their registry), `contest` and
`league` judge them and choose the champion, `calibration` corrects their log-odds, `forms` is what they are once
published and how each kind is applied, `record` holds all forms of a model with its checks, and `reasons` tells in
words why a score is what it is.
"""
