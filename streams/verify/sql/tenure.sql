-- The relation as a whole, over everything that the customer did.
CREATE OR REPLACE TABLE expected_tenure AS
WITH relations AS (
    SELECT customer_id,
        min(time) AS first_event,
        max(time) AS last_event,
        count(*) AS events_total,
        count(DISTINCT day) FILTER (age BETWEEN 0 AND 6) AS active_days_7d,
        count(DISTINCT day) FILTER (age BETWEEN 0 AND 29) AS active_days_30d,
        count(DISTINCT day) FILTER (age BETWEEN 0 AND 89) AS active_days_90d,
        max(day) FILTER (age BETWEEN 0 AND 89) - min(day) FILTER (age BETWEEN 0 AND 89) AS span_days
    FROM past
    WHERE effect IN (
        'page', 'screen', 'view', 'search', 'cart', 'checkout', 'other', 'order', 'refund', 'order_cancel',
        'payment_ok', 'sub_start', 'sub_renew', 'conversation')
    GROUP BY customer_id
),
paced AS (
    SELECT *,
        CASE WHEN active_days_90d > 1 THEN span_days::DOUBLE / (active_days_90d - 1)::DOUBLE END AS cadence
    FROM relations
)
SELECT a.customer_id,
    days_since(a.as_of, r.first_event) AS tenure_days,
    coalesce(r.events_total, 0) AS events_total,
    coalesce(r.active_days_7d, 0) AS active_days_7d,
    coalesce(r.active_days_30d, 0) AS active_days_30d,
    coalesce(r.active_days_90d, 0) AS active_days_90d,
    days_since(a.as_of, r.last_event) AS days_since_activity,
    r.cadence AS activity_cadence_days,
    CASE WHEN r.cadence IS NOT NULL
         THEN days_since(a.as_of, r.last_event) / greatest(r.cadence, 1.0) END AS activity_silence_ratio
FROM looks AS a
LEFT JOIN paced AS r ON a.customer_id = r.customer_id;
