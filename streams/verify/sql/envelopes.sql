-- raw (topic, partition, offset, value BLOB) and refused (topic, partition, offset, reason)
-- -> named, told (with properties that say something) and baskets.
--
-- What the worker refused is no event. A defect while an event was applied ('internal_error') is refused too, but such
-- an event's message id is known from then on, so it stays until repeats are dropped (past.sql).

CREATE OR REPLACE TABLE envelopes AS
SELECT r.topic, r."partition", r."offset", f.reason IS NOT NULL AS defect,
    from_json(
        document_of(r.value),
        '{"type": "JSON", "event": "JSON", "userId": "JSON", "anonymousId": "JSON", "messageId": "JSON",
          "timestamp": "JSON", "originalTimestamp": "JSON", "sentAt": "JSON", "receivedAt": "JSON",
          "properties": "JSON"}') AS e
FROM raw AS r
LEFT JOIN refused AS f ON (r.topic, r."partition", r."offset") = (f.topic, f."partition", f."offset")
WHERE f.reason IS NULL OR f.reason = 'internal_error';

CREATE OR REPLACE TABLE named AS
SELECT n.topic, n."partition", n."offset", n.defect, n.customer_id, n.message_id, n.time, n.name,
    coalesce(c.effect, 'other') AS effect, coalesce(c.facts, 'none') AS facts, n.properties
FROM (
    SELECT topic, "partition", "offset", defect,
        coalesce(id_of(e.userId), 'anonymous:' || id_of(e.anonymousId)) AS customer_id,
        id_of(e.messageId) AS message_id,
        event_seconds(e) AS time,
        CASE WHEN e.type ->> '$' = 'track' THEN catalog_name(e.event ->> '$') ELSE e.type ->> '$' END AS name,
        e.properties
    FROM envelopes
) AS n
LEFT JOIN catalog AS c ON n.name = c.name;

CREATE OR REPLACE TABLE told AS
SELECT topic, "partition", "offset", facts,
    from_json(
        object_of(properties),
        '{"revenue": "JSON", "total": "JSON", "value": "JSON", "discount": "JSON", "products": ["JSON"],
          "product_id": "JSON", "sku": "JSON", "name": "JSON", "resolved": "JSON", "turns": "JSON",
          "transcript": "JSON", "price": "JSON", "reason": "JSON", "cancellation_reason": "JSON"}') AS p
FROM named
WHERE facts <> 'none' AND json_type(properties) = 'OBJECT';

CREATE OR REPLACE MACRO product_id(p) AS coalesce(id_of(p.product_id), id_of(p.sku), id_of(p.name));

-- The products of an order, checkout or refund.
CREATE OR REPLACE TABLE baskets AS
SELECT topic, "partition", "offset",
    list_filter(list_transform(items[1:1000], lambda p: product_id(p)), lambda i: i IS NOT NULL) AS products,
    coalesce(list_sum(list_transform(items, lambda p: coalesce(number_of(p.quantity), 1.0::DOUBLE))), 0.0) AS units
FROM (
    SELECT topic, "partition", "offset",
        list_transform(p.products, lambda p: from_json(
            object_of(p), '{"product_id": "JSON", "sku": "JSON", "name": "JSON", "quantity": "JSON"}')) AS items
    FROM told WHERE facts IN ('order', 'refund')
);
