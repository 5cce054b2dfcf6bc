-- One node at a time may take a name, so that no two have the same.
SELECT pg_advisory_xact_lock(hashtextextended('weir node names', 0))
