-- Two who load rates at once do so one after the other.
SELECT pg_advisory_xact_lock(hashtext('weir_exchange_rate'))::text AS locked
