"""A seeded subscription shop whose customers leave for known causes.

`settings` says how large the shop is and what weighs on its customers; `dynamics` moves their hidden state from day to
day; `world` lets it happen once; `events` tells it in public event JSON, words by `transcripts`; `truth` knows each
customer's real probability of leaving, the best that any learner could say.
"""
