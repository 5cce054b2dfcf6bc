INSERT INTO reading_head AS h (
    resource, kind, device, first_observed_at, last_observed_at, is_gone, last_epoch, register_1, register_2,
    register_3, register_4
)
SELECT x.resource, x.kind, x.device, x.first_observed_at, x.last_observed_at, x.is_gone, x.last_epoch, x.register_1,
       x.register_2, x.register_3, x.register_4
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[], $7::bigint[],
            $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
    AS x (resource, kind, device, first_observed_at, last_observed_at, is_gone, last_epoch, register_1, register_2,
          register_3, register_4)
ORDER BY x.resource, x.kind, x.device
ON CONFLICT (resource, kind, device) DO UPDATE SET
    is_gone = CASE WHEN h.last_observed_at < EXCLUDED.last_observed_at THEN EXCLUDED.is_gone
                   WHEN h.last_observed_at = EXCLUDED.last_observed_at THEN h.is_gone OR EXCLUDED.is_gone
                   ELSE h.is_gone END,
    first_observed_at = LEAST(h.first_observed_at, EXCLUDED.first_observed_at),
    last_observed_at = GREATEST(h.last_observed_at, EXCLUDED.last_observed_at),
    last_epoch = CASE WHEN h.last_observed_at <= EXCLUDED.last_observed_at THEN EXCLUDED.last_epoch
                      ELSE h.last_epoch END,
    register_1 = CASE WHEN h.last_observed_at <= EXCLUDED.last_observed_at THEN EXCLUDED.register_1
                      ELSE h.register_1 END,
    register_2 = CASE WHEN h.last_observed_at <= EXCLUDED.last_observed_at THEN EXCLUDED.register_2
                      ELSE h.register_2 END,
    register_3 = CASE WHEN h.last_observed_at <= EXCLUDED.last_observed_at THEN EXCLUDED.register_3
                      ELSE h.register_3 END,
    register_4 = CASE WHEN h.last_observed_at <= EXCLUDED.last_observed_at THEN EXCLUDED.register_4
                      ELSE h.register_4 END
