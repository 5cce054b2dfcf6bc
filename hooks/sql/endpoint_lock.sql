-- One who adds endpoints of an owner at a time: the second counts the first one's.
SELECT pg_advisory_xact_lock(hashtextextended('weir_webhook/' || $1::uuid, 0))::text AS locked
