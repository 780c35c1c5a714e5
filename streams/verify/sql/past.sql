-- looks (customer_id, as_of): when each customer is looked at.
-- cut (topic, partition, upto): events below this offset are known to be applied.
-- reach (customer_id, topic, partition, last): beyond that, up to this offset for this customer.

CREATE OR REPLACE VIEW applied AS
SELECT e.*
FROM events AS e
LEFT JOIN cut AS c ON (e.topic, e."partition") = (c.topic, c."partition")
LEFT JOIN reach AS r ON (e.customer_id, e.topic, e."partition") = (r.customer_id, r.topic, r."partition")
WHERE e."offset" < coalesce(c.upto, 0) OR e."offset" <= coalesce(r.last, -1);

-- What counts for each customer then, and how many days before it lies. Of messages with one id the one with the
-- lowest offset counts; of copies in several partitions that of the first topic and partition by name.
CREATE OR REPLACE TABLE past AS
SELECT e.*, l.as_of, CAST(floor(l.as_of / 86400.0) AS INTEGER) - e.day AS age
FROM applied AS e
JOIN looks AS l ON e.customer_id = l.customer_id
QUALIFY row_number() OVER (
    PARTITION BY e.customer_id, coalesce(e.message_id, concat(chr(1), e.topic, '/', e."partition", '/', e."offset"))
    ORDER BY e.topic, e."partition", e."offset") = 1;

DELETE FROM past WHERE defect;
