SELECT usage_digest, total_now, failure, checked_at
FROM invoice_recheck
WHERE invoice_id = $1
