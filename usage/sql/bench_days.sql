-- The sums by day of everything that is recorded, day after day, as derivation would have written them.
INSERT INTO usage_day (
    tenant_id, day, kind, resource, device, meter, quantity, measured_us, estimated_us, missing_us, records,
    first_window, windows
)
SELECT u.tenant_id, (u.window_start AT TIME ZONE t.time_zone)::date, u.kind, u.resource, u.device, u.meter,
       sum(u.quantity), sum(u.measured_us)::bigint, sum(u.estimated_us)::bigint, sum(u.missing_us)::bigint, count(*),
       min(u.window_start), array_agg(u.quantity ORDER BY u.window_start)
FROM usage_record u
JOIN tenant t ON t.tenant_id = u.tenant_id
WHERE t.name LIKE 'bench-%'
GROUP BY 1, 2, 3, 4, 5, 6
ORDER BY 2, 4, 5, 6
