-- Two who apply tax tables at once do so one after the other.
SELECT pg_advisory_xact_lock(hashtext('weir_tax_table'))::text AS locked
