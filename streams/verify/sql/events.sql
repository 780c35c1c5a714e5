-- One row per event that the worker took: named, told, baskets and signals (what words of conversations say).
CREATE OR REPLACE TABLE events AS
SELECT n.topic, n."partition", n."offset", n.defect, n.customer_id, n.message_id, n.time,
    CAST(floor(n.time / 86400.0) AS INTEGER) AS day, n.name, n.effect,
    fixed(CASE n.facts
        WHEN 'order' THEN coalesce(number_of(t.p.revenue), number_of(t.p.total), number_of(t.p.value), 0.0)
        WHEN 'refund' THEN coalesce(number_of(t.p.total), number_of(t.p.revenue), number_of(t.p.value), 0.0)
        WHEN 'subscription' THEN coalesce(
            number_of(t.p.price), number_of(t.p.revenue), number_of(t.p.total), number_of(t.p.value), 0.0)
        ELSE 0.0 END) AS value,
    CASE WHEN n.facts = 'order' THEN fixed(coalesce(number_of(t.p.discount), 0.0)) ELSE 0 END AS discount,
    fixed(coalesce(b.units, 0.0)) AS units,
    CASE WHEN n.facts = 'product' THEN list_filter([product_id(t.p)], lambda i: i IS NOT NULL)
         ELSE b.products END AS products,
    -- A conversation without properties is activity, but no contact.
    n.effect = 'conversation' AND t.topic IS NOT NULL AS contact,
    coalesce(t.p.resolved ->> '$' = 'false', false) AS unresolved,
    fixed(s.sentiment) AS sentiment,
    coalesce(s.cancel_intent > 0, false) AS cancel_intent,
    CASE WHEN n.facts IN ('subscription', 'payment')
         THEN coalesce(text_of(t.p.cancellation_reason), text_of(t.p.reason))[1:64] END AS cause
FROM named AS n
LEFT JOIN told AS t ON (n.topic, n."partition", n."offset") = (t.topic, t."partition", t."offset")
LEFT JOIN baskets AS b ON (n.topic, n."partition", n."offset") = (b.topic, b."partition", b."offset")
LEFT JOIN signals AS s ON (n.topic, n."partition", n."offset") = (s.topic, s."partition", s."offset");
