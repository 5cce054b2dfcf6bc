-- Whether this database has chosen its profile already, and whether TimescaleDB could be switched on: its
-- files are there and the server has loaded it, which shows in its settings (shared_preload_libraries itself is
-- hidden from ordinary roles).
SELECT
    to_regclass('public.weir_storage') IS NOT NULL AS is_chosen,
    EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
        AND EXISTS (SELECT FROM pg_settings WHERE name = 'timescaledb.max_background_workers') AS has_timescale
