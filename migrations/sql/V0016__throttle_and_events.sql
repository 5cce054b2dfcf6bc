-- Throttling as a fourth thing that an allowance may do, with what has to be undone; and two events that are written where
-- they happen: an invoice that a mail server took, and readings that are missing.

-- ---------------------------------------------------------------------------------------------------------------
-- Throttling.

ALTER TABLE allowance_crossing
    DROP CONSTRAINT allowance_crossing_action_check,
    ADD CONSTRAINT allowance_crossing_action_check CHECK (action IN ('notify', 'throttle', 'suspend', 'stop'));
ALTER TABLE limit_action
    DROP CONSTRAINT limit_action_action_check,
    ADD CONSTRAINT limit_action_action_check CHECK (action IN ('throttle', 'suspend', 'stop'));
-- A tenant's own allowance notifies; the other two actions are refused to it by a constraint of the table.
ALTER TABLE allowance
    ADD CONSTRAINT allowance_tenant_throttles_not
        CHECK (owner = 'provider' OR array_to_string(thresholds, ' ') !~ '/throttle');
-- A crossing that is not reached any more ends what was done about it, and may be reached again: one at a time.
CREATE UNIQUE INDEX limit_action_once ON limit_action (tenant_id, name, revision, period_start, basis, percent)
    WHERE ended_at IS NULL;

-- Instances whose rates are bounded, and what they were before: what is set back when it is over. The row is there before
-- anything is set.
CREATE TABLE throttled_instance (
    instance_id uuid        PRIMARY KEY,
    tenant_id   uuid        NOT NULL REFERENCES tenant (tenant_id),
    bounds      text        NOT NULL CHECK (bounds::json IS NOT NULL),  -- by device: before and set, as compute writes them
    notices     text[]      NOT NULL,  -- what of it could not be set on this node, for the operator
    since       timestamptz NOT NULL,
    changed_at  timestamptz NOT NULL
);
CREATE INDEX throttled_instance_tenant_id ON throttled_instance (tenant_id);
SELECT weir_enforce_provider('throttled_instance');

-- ---------------------------------------------------------------------------------------------------------------
-- Events.

-- Writes an event, with a delivery for each endpoint that wants it: the tenant's own and the provider's. For what is noticed by
-- the database alone; all else is written by the application, with the same statement.
CREATE FUNCTION weir_emit(kind text, tenant uuid, data jsonb, happened timestamptz) RETURNS void
    LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$
    WITH event AS (
        INSERT INTO public.webhook_event (event_id, type, tenant_id, payload, created_at)
        SELECT gen_random_uuid(), kind, tenant,
               (jsonb_build_object(
                    'type', kind,
                    'timestamp', to_char(happened AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                    'data', data)
                || CASE WHEN tenant = '00000000-0000-0000-0000-000000000000' THEN '{}'::jsonb
                        ELSE jsonb_build_object('tenant_id', tenant) END)::text,
               happened
        RETURNING event_id, type, tenant_id, created_at
    )
    INSERT INTO public.webhook_delivery (delivery_id, event_id, endpoint_id, tenant_id, created_at, next_attempt_at)
    SELECT gen_random_uuid(), ev.event_id, en.endpoint_id, en.tenant_id, ev.created_at, ev.created_at
    FROM event ev
    JOIN public.webhook_endpoint en ON en.tenant_id IN (ev.tenant_id, '00000000-0000-0000-0000-000000000000')
    WHERE en.removed_at IS NULL AND en.disabled_at IS NULL AND (en.types IS NULL OR ev.type = ANY (en.types))
$$;

-- An invoice was sent when a mail server took the mail about it. The crate that delivers mail knows no invoices.
CREATE OR REPLACE FUNCTION weir_note_sent_invoice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    sent  record;
    paper jsonb;
BEGIN
    UPDATE public.invoice i SET sent_at = greatest(NEW.sent_at, i.issued_at)
    WHERE i.number = NEW.about ->> 'number' AND i.sent_at IS NULL
    RETURNING i.tenant_id, i.document INTO sent;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    -- A document may hold what jsonb cannot: the character 0, in somebody's name. None of what is told is a name.
    paper := replace(sent.document, '\u0000', '\ufffd')::jsonb;
    PERFORM public.weir_emit('invoice.sent', sent.tenant_id, jsonb_build_object(
        'number', paper -> 'number',
        'invoice_id', paper -> 'invoice_id',
        'kind', paper -> 'kind',
        'tenant', paper -> 'tenant',
        'period', jsonb_build_object('from', paper -> 'service_period' -> 'start', 'to', paper -> 'service_period' -> 'end'),
        'total', paper -> 'total',
        'due_on', paper -> 'due_on',
        'corrects', paper -> 'corrects' -> 'number'), NEW.sent_at);
    RETURN NULL;
END
$$;

-- Readings are missing. A node tells of the same gap at each look while it lasts, each time with a span that touches the one
-- before, or with none where there was no reading yet: the first one is told, once, and the next one when a quarter of an hour
-- went well, in which everything is asked for at least once. A gap of a whole node is told to each tenant that has an instance there.
CREATE FUNCTION weir_tell_gaps() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gap record;
BEGIN
    FOR gap IN
        SELECT DISTINCT n.instance_id, i.name, n.device, n.span_start, n.span_end, n.reason,
               COALESCE(t.tenant_id, '00000000-0000-0000-0000-000000000000') AS tenant_id
        FROM added n
        LEFT JOIN public.instance i
            ON n.instance_id IS NOT NULL AND i.instance_id = n.instance_id
        LEFT JOIN LATERAL (
            SELECT it.tenant_id
            FROM public.instance_tenant it
            WHERE it.instance_id = n.instance_id AND it.since < n.span_end
                AND (it.until IS NULL OR n.span_start < it.until)
            ORDER BY it.since DESC
            LIMIT 1
        ) t1 ON n.instance_id IS NOT NULL
        LEFT JOIN LATERAL (
            SELECT t1.tenant_id
            WHERE n.instance_id IS NOT NULL
            UNION
            SELECT it.tenant_id
            FROM public.instance there
            JOIN public.instance_tenant it ON it.instance_id = there.instance_id AND it.since < n.span_end
                AND (it.until IS NULL OR n.span_start < it.until)
            WHERE n.instance_id IS NULL AND there.node_id = n.node_id
                AND (there.gone_at IS NULL OR n.span_start < there.gone_at)
        ) t ON true
        LEFT JOIN LATERAL (
            SELECT g.span_end
            FROM public.reading_gap g
            WHERE n.instance_id IS NOT NULL AND g.instance_id = n.instance_id AND g.device IS NOT DISTINCT FROM n.device
                AND g.span_start <= n.span_start AND (g.node_id, g.seq) <> (n.node_id, n.seq)
            ORDER BY g.span_start DESC, g.span_end DESC
            LIMIT 1
        ) own ON true
        LEFT JOIN LATERAL (
            SELECT g.span_end
            FROM public.reading_gap g
            WHERE n.instance_id IS NULL AND g.node_id = n.node_id AND g.instance_id IS NULL
                AND g.device IS NOT DISTINCT FROM n.device AND g.span_start <= n.span_start AND g.seq <> n.seq
            ORDER BY g.span_start DESC, g.span_end DESC
            LIMIT 1
        ) nodes ON true
        WHERE COALESCE(own.span_end, nodes.span_end, '-infinity') < n.span_start - INTERVAL '15 minutes'
    LOOP
        PERFORM public.weir_emit('meter.gap', gap.tenant_id, jsonb_build_object(
            'instance_id', gap.instance_id,
            'instance', gap.name,
            'device', gap.device,
            'reason', gap.reason,
            'from', to_char(gap.span_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'until', to_char(gap.span_end AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), now());
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER weir_tell_gaps AFTER INSERT ON reading_gap
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION weir_tell_gaps();
