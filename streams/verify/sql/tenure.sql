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
active AS (
    SELECT DISTINCT customer_id, as_of, day, age
    FROM past
    WHERE age BETWEEN 0 AND 89 AND effect IN (
        'page', 'screen', 'view', 'search', 'cart', 'checkout', 'other', 'order', 'refund', 'order_cancel',
        'payment_ok', 'sub_start', 'sub_renew', 'conversation')
),
-- How often active since the first active day of the window: lately, and usually.
rates AS (
    SELECT customer_id, (fading + 0.5) / (full_days + 0.5) AS recent, (days + 0.5) / (seen + 0.5) AS usual
    FROM (
        SELECT customer_id, count(*) AS days, any_value(as_of) / 86400.0 - min(day) AS seen,
            sum(pow(2.0, -age / 10.0)) AS fading,
            10.0 / ln(2.0) * (1.0 - pow(2.0, -(any_value(as_of) / 86400.0 - min(day)) / 10.0)) AS full_days
        FROM active
        GROUP BY customer_id
    )
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
         THEN days_since(a.as_of, r.last_event) / greatest(r.cadence, 1.0) END AS activity_silence_ratio,
    t.recent / t.usual AS activity_trend
FROM looks AS a
LEFT JOIN paced AS r ON a.customer_id = r.customer_id
LEFT JOIN rates AS t ON a.customer_id = t.customer_id;
