-- Browsing. A session is a run of half-hours of one UTC day with a click in each.
CREATE OR REPLACE TABLE expected_clickstream AS
WITH clicks AS (
    -- Decayed rates are told as of the newest click where that lies after as_of.
    SELECT *, greatest(as_of, max(time) OVER (PARTITION BY customer_id)) AS until
    FROM past WHERE effect IN ('page', 'screen', 'view', 'search', 'cart', 'checkout', 'other')
),
half_hours AS (
    SELECT DISTINCT customer_id, age, CAST(floor((time - day * 86400.0) / 1800.0) AS INTEGER) AS slot FROM clicks
),
sessions AS (
    SELECT customer_id,
        count(*) FILTER (age BETWEEN 0 AND 6) AS in_7d,
        count(*) FILTER (age BETWEEN 0 AND 29) AS in_30d
    FROM (
        SELECT customer_id, age, slot, lag(slot) OVER (PARTITION BY customer_id, age ORDER BY slot) AS before
        FROM half_hours
    )
    WHERE before IS NULL OR before < slot - 1
    GROUP BY customer_id
),
products AS (
    SELECT customer_id, min(DISTINCT item_hash(product), 32) AS smallest
    FROM (SELECT customer_id, unnest(products) AS product FROM clicks)
    GROUP BY customer_id
),
counted AS (
    SELECT customer_id,
        count(*) FILTER (age = 0) AS clicks_1d,
        count(*) FILTER (age BETWEEN 0 AND 6) AS clicks_7d,
        count(*) FILTER (age BETWEEN 0 AND 29) AS clicks_30d,
        count(*) FILTER (age BETWEEN 0 AND 89) AS clicks_90d,
        count(*) FILTER (effect = 'view' AND age BETWEEN 0 AND 6) AS product_views_7d,
        count(*) FILTER (effect = 'view' AND age BETWEEN 0 AND 29) AS product_views_30d,
        count(*) FILTER (effect = 'search' AND age BETWEEN 0 AND 29) AS searches_30d,
        count(*) FILTER (effect = 'cart' AND age BETWEEN 0 AND 29) AS carts_30d,
        count(*) FILTER (effect = 'checkout' AND age BETWEEN 0 AND 29) AS checkouts_30d,
        sum(pow(2.0, -(until - time) / 86400.0 / 7.0)) * ln(2.0) / 7.0 AS rate,
        max(time) AS last_click
    FROM clicks
    GROUP BY customer_id
)
SELECT a.customer_id,
    coalesce(c.clicks_1d, 0) AS clicks_1d,
    coalesce(c.clicks_7d, 0) AS clicks_7d,
    coalesce(c.clicks_30d, 0) AS clicks_30d,
    coalesce(c.clicks_90d, 0) AS clicks_90d,
    coalesce(s.in_7d, 0) AS sessions_7d,
    coalesce(s.in_30d, 0) AS sessions_30d,
    coalesce(c.product_views_7d, 0) AS product_views_7d,
    coalesce(c.product_views_30d, 0) AS product_views_30d,
    coalesce(c.searches_30d, 0) AS searches_30d,
    coalesce(c.carts_30d, 0) AS carts_30d,
    coalesce(c.checkouts_30d, 0) AS checkouts_30d,
    coalesce(c.rate, 0.0) AS click_rate,
    days_since(a.as_of, c.last_click) AS days_since_click,
    distinct_items(p.smallest) AS products_seen
FROM looks AS a
LEFT JOIN counted AS c ON a.customer_id = c.customer_id
LEFT JOIN sessions AS s ON a.customer_id = s.customer_id
LEFT JOIN products AS p ON a.customer_id = p.customer_id;
