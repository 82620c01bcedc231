-- Checks, decrements, stores the reservation and its expiry: one round trip, as a shop might write it.

CREATE TABLE stock (
  sku integer PRIMARY KEY,
  available bigint NOT NULL CHECK (available >= 0)
) WITH (fillfactor = 50); -- room for updates within the page

CREATE TABLE reservation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sku integer NOT NULL,
  quantity integer NOT NULL,
  expire_time timestamptz NOT NULL
);
CREATE INDEX ON reservation (expire_time);

CREATE FUNCTION reserve(wanted_sku integer, wanted integer, ttl interval) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  made bigint;
BEGIN
  UPDATE stock SET available = available - wanted WHERE sku = wanted_sku AND available >= wanted;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  INSERT INTO reservation (sku, quantity, expire_time)
  VALUES (wanted_sku, wanted, clock_timestamp() + ttl) RETURNING id INTO made;
  RETURN made;
END
$$;
