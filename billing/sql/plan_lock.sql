-- Two who apply plans at once do so one after the other.
SELECT pg_advisory_xact_lock(hashtext('weir_price_plan'))::text AS locked
