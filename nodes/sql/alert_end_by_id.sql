UPDATE alert SET ended_at = greatest($2, seen_at) WHERE alert_id = $1 AND ended_at IS NULL
