"""Backtests: the engine and the learner of the live roles, run over a history of events. Pure.

    order     events in the order of their times, within a bounded window
    run       decode, apply, flush on a grid of times, learn, publish: `Backtest`
    learning  the trainer's waiting room and learner, without its transport
    truth     what really happened after each prediction: labels for any customer and time, from the events alone

`app.backtest` reads the events, writes the predictions and tells the results.
"""
