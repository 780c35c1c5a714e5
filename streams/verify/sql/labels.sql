-- predictions (number, customer_id, as_of, gap_days, horizon_days, label), deciding (name), the events that the definition
-- speaks of, and unwilling (cause), the causes of a cancellation that do not count.
-- truth: whether such an event fell into the horizon of the prediction, which begins behind the gap.
CREATE OR REPLACE TABLE truth AS
SELECT p.customer_id, p.as_of, p.label, count(e.time) > 0 AS happened
FROM predictions AS p
LEFT JOIN (
    SELECT customer_id, time
    FROM past
    WHERE name IN (SELECT name FROM deciding)
      AND (cause IS NULL OR replace(replace(lower(stripped(cause)), ' ', '_'), '-', '_') NOT IN (FROM unwilling))) AS e
    ON p.customer_id = e.customer_id AND e.time > p.as_of + p.gap_days * 86400.0
    AND e.time <= p.as_of + p.gap_days * 86400.0 + p.horizon_days * 86400.0
GROUP BY p.number, p.customer_id, p.as_of, p.label
ORDER BY p.number;
