-- Buying: orders, money, refunds, failed payments, the subscription. Money and units are whole numbers of 1e-4.
CREATE OR REPLACE TABLE expected_purchases AS
WITH orders AS (
    SELECT *, greatest(as_of, max(time) OVER (PARTITION BY customer_id)) AS until
    FROM past WHERE effect = 'order'
),
bought AS (
    SELECT customer_id,
        count(*) FILTER (age BETWEEN 0 AND 6) AS orders_7d,
        count(*) FILTER (age BETWEEN 0 AND 29) AS orders_30d,
        count(*) FILTER (age BETWEEN 0 AND 89) AS orders_90d,
        count(*) AS orders_total,
        sum(value) FILTER (age BETWEEN 0 AND 6) / 10000.0::DOUBLE AS spend_7d,
        sum(value) FILTER (age BETWEEN 0 AND 29) / 10000.0::DOUBLE AS spend_30d,
        sum(value) FILTER (age BETWEEN 0 AND 89) / 10000.0::DOUBLE AS spend_90d,
        sum(units) FILTER (age BETWEEN 0 AND 29) / 10000.0::DOUBLE AS units_30d,
        sum(discount) FILTER (age BETWEEN 0 AND 89) / 10000.0::DOUBLE AS discount_90d,
        sum(pow(2.0, -(until - time) / 86400.0 / 14.0)) * ln(2.0) / 14.0 AS fast,
        sum(pow(2.0, -(until - time) / 86400.0 / 90.0)) * ln(2.0) / 90.0 AS slow,
        min(time) AS first_order,
        max(time) AS last_order,
        CASE WHEN count(*) > 1
             THEN (max(time) - min(time)) / 86400.0::DOUBLE / (count(*) - 1)::DOUBLE END AS cadence
    FROM orders
    GROUP BY customer_id
),
others AS (
    SELECT customer_id,
        count(*) FILTER (effect = 'refund' AND age BETWEEN 0 AND 89) AS refunds_90d,
        sum(value) FILTER (effect = 'refund' AND age BETWEEN 0 AND 89) / 10000.0::DOUBLE AS refunded_90d,
        count(*) FILTER (effect = 'payment_failed' AND age BETWEEN 0 AND 6) AS failed_7d,
        count(*) FILTER (effect = 'payment_failed' AND age BETWEEN 0 AND 29) AS failed_30d,
        count(*) FILTER (effect = 'payment_failed' AND age BETWEEN 0 AND 89) AS failed_90d,
        count(*) FILTER (effect = 'order_cancel' AND age BETWEEN 0 AND 89) AS cancels_90d,
        count(*) FILTER (effect = 'sub_renew' AND age BETWEEN 0 AND 89) AS renewals_90d,
        max(time) FILTER (effect = 'payment_failed') AS last_failed,
        min(time) FILTER (effect = 'sub_start') AS first_subscription,
        -- Of two prices told at the same time the greater counts.
        max({'time': time, 'told': value}) FILTER (effect IN ('sub_start', 'sub_renew') AND value > 0) AS newest_price
    FROM past WHERE effect IN ('refund', 'payment_failed', 'order_cancel', 'sub_renew', 'sub_start')
    GROUP BY customer_id
),
products AS (
    SELECT customer_id, min(DISTINCT item_hash(product), 32) AS smallest
    FROM (SELECT customer_id, unnest(products) AS product FROM orders)
    GROUP BY customer_id
)
SELECT a.customer_id,
    coalesce(b.orders_7d, 0) AS orders_7d,
    coalesce(b.orders_30d, 0) AS orders_30d,
    coalesce(b.orders_90d, 0) AS orders_90d,
    coalesce(b.orders_total, 0) AS orders_total,
    coalesce(b.spend_7d, 0.0) AS spend_7d,
    coalesce(b.spend_30d, 0.0) AS spend_30d,
    coalesce(b.spend_90d, 0.0) AS spend_90d,
    share(coalesce(b.spend_90d, 0.0), b.orders_90d) AS order_value_90d,
    coalesce(b.units_30d, 0.0) AS units_30d,
    share(coalesce(b.discount_90d, 0.0), b.spend_90d + coalesce(b.discount_90d, 0.0)) AS discount_share_90d,
    coalesce(o.refunds_90d, 0) AS refunds_90d,
    coalesce(o.refunded_90d, 0.0) AS refunded_90d,
    coalesce(o.failed_7d, 0) AS failed_payments_7d,
    coalesce(o.failed_30d, 0) AS failed_payments_30d,
    coalesce(o.failed_90d, 0) AS failed_payments_90d,
    coalesce(o.cancels_90d, 0) AS order_cancels_90d,
    coalesce(o.renewals_90d, 0) AS renewals_90d,
    coalesce(b.fast, 0.0) AS order_rate,
    (coalesce(b.fast, 0.0) + 0.01) / (coalesce(b.slow, 0.0) + 0.01) AS order_trend,
    days_since(a.as_of, b.last_order) AS days_since_order,
    b.cadence AS order_cadence_days,
    CASE WHEN b.cadence IS NOT NULL
         THEN days_since(a.as_of, b.last_order) / greatest(b.cadence, 1.0) END AS order_silence_ratio,
    days_since(a.as_of, o.last_failed) AS days_since_failed_payment,
    days_since(a.as_of, o.first_subscription) AS days_since_subscription,
    o.newest_price.told / 10000.0::DOUBLE AS subscription_price,
    distinct_items(p.smallest) AS products_bought
FROM looks AS a
LEFT JOIN bought AS b ON a.customer_id = b.customer_id
LEFT JOIN others AS o ON a.customer_id = o.customer_id
LEFT JOIN products AS p ON a.customer_id = p.customer_id;
