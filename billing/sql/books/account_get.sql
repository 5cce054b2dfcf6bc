SELECT a.country, COALESCE(a.tax_treatment, 'taxable') AS tax_treatment, a.tax_reason, a.currency,
       COALESCE(a.payment_days, 14) AS payment_days, COALESCE(a.mode, 'postpaid') AS mode, a.starts_on, a.low_balance,
       COALESCE(a.revision, 0) AS revision, t.tax_number,
       ARRAY(SELECT b.valid_from FROM billing_currency b WHERE b.tenant_id = t.tenant_id ORDER BY b.revision) AS currency_days,
       ARRAY(SELECT b.currency FROM billing_currency b WHERE b.tenant_id = t.tenant_id ORDER BY b.revision) AS currency_codes
FROM tenant t
LEFT JOIN billing_account a ON a.tenant_id = t.tenant_id
WHERE t.tenant_id = $1
