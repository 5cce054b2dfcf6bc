INSERT INTO reading_gap (node_id, seq, instance_id, device, span_start, span_end, reason, detail)
SELECT $1, $2, x.instance_id, x.device, x.span_start, x.span_end, x.reason, x.detail
FROM unnest($3::uuid[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[])
    AS x (instance_id, device, span_start, span_end, reason, detail)
