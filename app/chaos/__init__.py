"""The chaos run: everything goes wrong while events flow, and afterwards every number must be right.

story      what producers send: repeated, delayed, misplaced, broken
plan       which faults come when, drawn from a seed
fleet      workers and trainer as processes that are killed, stopped and restarted
feeder     sends the story, never far ahead of what is processed
conductor  lets the faults happen
evidence   what the topics hold in the end
expected   what they should hold, worked out from the story alone
check      the comparison: lost, doubled, mismatched
run        from the beginning to the verdict
"""
