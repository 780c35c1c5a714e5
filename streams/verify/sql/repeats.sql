-- $1: the worker's window of message ids.
-- Repeats that the worker need not have recognised, or whose content is not the same: reasons to look twice.
SELECT
    count(*) AS repeats,
    count(*) FILTER (between_them > $1) AS far,
    count(*) FILTER (NOT same) AS different
FROM (
    SELECT
        row_number() OVER copies AS copy,
        place - lag(place) OVER copies AS between_them,
        {'t': time, 'n': name, 'v': value, 'u': units, 'd': discount, 'p': products}
            = first_value({'t': time, 'n': name, 'v': value, 'u': units, 'd': discount, 'p': products})
                OVER copies AS same
    FROM (
        SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY topic, "partition", "offset") AS place
        FROM applied WHERE message_id IS NOT NULL
    )
    WINDOW copies AS (PARTITION BY customer_id, message_id ORDER BY topic, "partition", "offset")
)
WHERE copy > 1;
