"""The report of a backtest: one HTML file that asks for nothing else.

words    the verdict in words
charts   the charts as inline SVG, drawn by matplotlib (extra `report`)
figures  which charts there are, and what each says
tables   everything that is a table
page     the page
"""
