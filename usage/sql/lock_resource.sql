-- For the length of the transaction.
SELECT pg_try_advisory_xact_lock(hashtextextended('usage:' || $1::uuid::text, 0)) AS is_locked
