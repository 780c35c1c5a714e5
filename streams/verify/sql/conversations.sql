-- What customers said in each conversation: the only part that SQL cannot judge by itself.
-- The newest 2,000 turns, the first 20,000 characters of each.
SELECT topic, "partition", "offset",
    list_transform(
        list_filter(turns, lambda t: lower(stripped(t.role)) IN
            ('customer', 'user', 'end_user', 'end-user', 'visitor', 'caller', 'external')),
        lambda t: coalesce(t.text, '')[1:20000]) AS texts
FROM (
    SELECT topic, "partition", "offset",
        from_json(coalesce(p.turns, p.transcript), '[{"role": "VARCHAR", "text": "VARCHAR"}]')[-2000:] AS turns
    FROM told WHERE facts = 'conversation'
);
