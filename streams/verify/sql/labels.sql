-- predictions (number, customer_id, as_of, horizon_days, label) and deciding (name), the events that the definition speaks of.
-- truth: whether such an event fell into the horizon of the prediction.
CREATE OR REPLACE TABLE truth AS
SELECT p.customer_id, p.as_of, p.label, count(e.time) > 0 AS happened
FROM predictions AS p
LEFT JOIN (SELECT customer_id, time FROM past WHERE name IN (SELECT name FROM deciding)) AS e
    ON p.customer_id = e.customer_id AND e.time > p.as_of AND e.time <= p.as_of + p.horizon_days * 86400.0
GROUP BY p.number, p.customer_id, p.as_of, p.label
ORDER BY p.number;
