-- Makes the role weir_app, as which the application works, and lets the login role become it. Roles belong to the
-- whole server: migrations of two databases may meet here, so losing the race counts as done.
DO $$
DECLARE
    -- From PostgreSQL 16 on a member may hold the role without being allowed to SET ROLE to it.
    may_become CONSTANT text := CASE WHEN current_setting('server_version_num')::integer < 160000
                                     THEN 'MEMBER' ELSE 'SET' END;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'weir_app') THEN
        BEGIN
            CREATE ROLE weir_app NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END IF;
    IF NOT pg_has_role(current_user, 'weir_app', may_become) THEN
        BEGIN
            EXECUTE format('GRANT weir_app TO %I', current_user);
        EXCEPTION WHEN unique_violation OR internal_error THEN  -- "tuple concurrently updated"
            NULL;
        END;
    END IF;
END
$$
