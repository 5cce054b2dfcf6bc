UPDATE invoice
SET sent_at = greatest($2::timestamptz, issued_at)
WHERE number = $1 AND sent_at IS NULL
