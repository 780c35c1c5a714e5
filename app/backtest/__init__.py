"""`ebbtide backtest` behind its command line: files in, files out.

job          the whole run: events, predictions, results
predictions  the Parquet file of every prediction, labelled in a second pass
vectors      the Parquet file of the feature vectors behind them
"""
