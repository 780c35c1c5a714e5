-- How single JSON values are read. Written from the event contract, not from the Python decoder.

-- The white space of Unicode, as a class for patterns.
CREATE OR REPLACE MACRO spaces() AS
    '[\t-\r \x{1c}-\x{1f}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]';

CREATE OR REPLACE MACRO stripped(t) AS
    regexp_replace(regexp_replace(t, '^' || spaces() || '+', ''), spaces() || '+$', '');

-- Of equal names in an object the last one counts.
CREATE OR REPLACE MACRO last_values(j) AS
    CASE WHEN len(json_keys(j)) = len(list_distinct(json_keys(j))) THEN j
         ELSE to_json(map_from_entries(list_transform(list_distinct(json_keys(j)), lambda k: {
             'k': k,
             'v': json_extract(j, '$.*')[len(json_keys(j)) + 1 - list_position(list_reverse(json_keys(j)), k)]})))
    END;

-- A JSON object without nulls; null for anything else.
CREATE OR REPLACE MACRO object_of(j) AS
    CASE WHEN json_type(j) = 'OBJECT' THEN json_merge_patch('{}', last_values(j)) END;

CREATE OR REPLACE MACRO document_of(bytes) AS
    object_of(TRY_CAST(regexp_replace(TRY(decode(bytes)), '^\x{feff}', '') AS JSON));

-- An id: text as it is, integers as their digits, blank is none.
CREATE OR REPLACE MACRO id_of(j) AS
    CASE WHEN NOT regexp_full_match(j ->> '$', spaces() || '*') THEN j ->> '$' END;

-- A number, also in quotes; blank is none.
CREATE OR REPLACE MACRO number_of(j) AS
    abs(TRY_CAST(nullif(stripped(j ->> '$'), '') AS DOUBLE));

-- An amount in whole units of 1e-4, half to even.
CREATE OR REPLACE MACRO half_even(y) AS
    CAST(floor(y) + CASE
        WHEN y - floor(y) > 0.5 THEN 1
        WHEN y - floor(y) < 0.5 THEN 0
        ELSE abs(floor(y) % 2)
    END AS BIGINT);
CREATE OR REPLACE MACRO fixed(x) AS half_even(x * 10000.0::DOUBLE);

-- ISO-8601 in the spellings that a cast does not know: basic format, other separators, comma, hours alone.
CREATE OR REPLACE MACRO iso_parts(t) AS
    regexp_extract(
        t,
        '^(\d{4})-?(\d{2})-?(\d{2})(?:.(\d{2})(?::?(\d{2})(?::?(\d{2})(?:[.,](\d+))?)?)?(Z|[+-][\d:.]+)?)?$',
        ['year', 'month', 'day', 'hour', 'minute', 'second', 'fraction', 'zone']);
CREATE OR REPLACE MACRO respelled(p) AS
    concat(p.year, '-', p.month, '-', p.day, ' ', lpad(p.hour, 2, '0'), ':', lpad(p.minute, 2, '0'), ':',
           lpad(p.second, 2, '0'), '.', p.fraction, '0',
           CASE WHEN p.zone IN ('', 'Z') THEN '+00'
                ELSE regexp_replace(p.zone, '^([+-]\d\d):?(\d\d)$', '\1:\2') END);

-- Epoch seconds of a text; no zone means UTC, the zone of the connection.
CREATE OR REPLACE MACRO iso_seconds(t) AS
    epoch_us(coalesce(TRY_CAST(t AS TIMESTAMPTZ), TRY_CAST(respelled(iso_parts(t)) AS TIMESTAMPTZ)))
        / 1000000.0::DOUBLE;

-- Epoch seconds of a number: milliseconds from 1e11 on.
CREATE OR REPLACE MACRO number_seconds(x) AS
    CASE WHEN abs(x) >= 1e11 THEN x / 1000.0::DOUBLE ELSE x END;

CREATE OR REPLACE MACRO time_of(j) AS
    CASE WHEN json_type(j) = 'VARCHAR' THEN iso_seconds(j ->> '$')
         ELSE number_seconds(TRY_CAST(j ->> '$' AS DOUBLE)) END;

-- A text that is not empty, else nothing.
CREATE OR REPLACE MACRO text_of(j) AS
    CASE WHEN json_type(j) = 'VARCHAR' AND j ->> '$' <> '' THEN j ->> '$' END;

-- When an event happened: its timestamp, else by the server's clock, else the first time that is given.
CREATE OR REPLACE MACRO event_seconds(e) AS
    CASE WHEN e.timestamp IS NOT NULL THEN time_of(e.timestamp)
         WHEN e.originalTimestamp IS NOT NULL AND e.sentAt IS NOT NULL AND e.receivedAt IS NOT NULL
             THEN time_of(e.receivedAt) - (time_of(e.sentAt) - time_of(e.originalTimestamp))
         WHEN e.originalTimestamp IS NOT NULL THEN time_of(e.originalTimestamp)
         WHEN e.sentAt IS NOT NULL THEN time_of(e.sentAt)
         ELSE time_of(e.receivedAt) END;

-- The first 63 bits of MD5, for the sketch of distinct items.
CREATE OR REPLACE MACRO item_hash(t) AS
    CAST('0x' || md5(t)[1:16] AS UBIGINT) >> 1;

-- The estimate of a sketch: the 32 smallest hashes of the distinct items, exact below.
CREATE OR REPLACE MACRO distinct_items(smallest) AS
    CASE WHEN coalesce(len(smallest), 0) < 32 THEN coalesce(len(smallest), 0)::DOUBLE
         ELSE 31.0::DOUBLE * 9223372036854775808.0::DOUBLE / smallest[32]::DOUBLE END;

-- Part over whole, none where the whole is not positive.
CREATE OR REPLACE MACRO share(part, whole) AS
    CASE WHEN whole > 0 THEN part::DOUBLE / whole::DOUBLE END;

-- Days since a time, none if it never came, never negative.
CREATE OR REPLACE MACRO days_since(as_of, past_time) AS
    CASE WHEN past_time IS NOT NULL THEN greatest(0.0::DOUBLE, as_of - past_time) / 86400.0::DOUBLE END;
