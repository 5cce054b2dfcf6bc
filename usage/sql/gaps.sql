SELECT device, span_start, span_end
FROM reading_gap
WHERE instance_id = $1 AND span_start <= $3 AND $2 <= span_end
ORDER BY span_start
