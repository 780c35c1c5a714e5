-- Contacts with the service centre. Sentiment is a whole number of 1e-4, null without words of the customer.
CREATE OR REPLACE TABLE expected_contact AS
WITH contacts AS (
    SELECT customer_id,
        count(*) FILTER (age BETWEEN 0 AND 6) AS contacts_7d,
        count(*) FILTER (age BETWEEN 0 AND 29) AS contacts_30d,
        count(*) FILTER (age BETWEEN 0 AND 89) AS contacts_90d,
        count(*) FILTER (unresolved AND age BETWEEN 0 AND 29) AS unresolved_30d,
        count(*) FILTER (unresolved AND age BETWEEN 0 AND 89) AS unresolved_90d,
        count(*) FILTER (cancel_intent AND age BETWEEN 0 AND 29) AS cancel_intent_30d,
        count(*) FILTER (cancel_intent AND age BETWEEN 0 AND 89) AS cancel_intent_90d,
        -- Of two contacts at the same time the greater value is told.
        max({'time': time, 'told': sentiment}) FILTER (sentiment IS NOT NULL) AS newest_sentiment,
        max({'time': time, 'told': unresolved}) AS newest_outcome,
        min(sentiment) FILTER (age BETWEEN 0 AND 29) AS worst_30d,
        sum(sentiment) FILTER (age BETWEEN 0 AND 89) AS sentiment_90d,
        count(sentiment) FILTER (age BETWEEN 0 AND 89) AS sentiments_90d,
        max(time) AS last_contact
    FROM past WHERE contact
    GROUP BY customer_id
)
SELECT a.customer_id,
    coalesce(c.contacts_7d, 0) AS contacts_7d,
    coalesce(c.contacts_30d, 0) AS contacts_30d,
    coalesce(c.contacts_90d, 0) AS contacts_90d,
    coalesce(c.unresolved_30d, 0) AS unresolved_30d,
    coalesce(c.unresolved_90d, 0) AS unresolved_90d,
    coalesce(c.cancel_intent_30d, 0) AS cancel_intent_30d,
    coalesce(c.cancel_intent_90d, 0) AS cancel_intent_90d,
    c.newest_sentiment.told / 10000.0::DOUBLE AS last_sentiment,
    c.worst_30d / 10000.0::DOUBLE AS worst_sentiment_30d,
    share(c.sentiment_90d / 10000.0::DOUBLE, c.sentiments_90d) AS mean_sentiment_90d,
    CAST(c.newest_outcome.told AS INTEGER) AS last_unresolved,
    days_since(a.as_of, c.last_contact) AS days_since_contact
FROM looks AS a
LEFT JOIN contacts AS c ON a.customer_id = c.customer_id;
