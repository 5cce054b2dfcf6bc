-- What a tenant has paid in advance in a currency and not used, and whether its invoices are taken from it.
SELECT COALESCE((SELECT -b.amount FROM ledger_balance b
                 WHERE b.tenant_id = $1 AND b.account = 'wallet' AND b.currency = $2), 0) AS wallet,
       COALESCE((SELECT a.mode = 'prepaid' FROM billing_account a WHERE a.tenant_id = $1), false) AS is_prepaid
