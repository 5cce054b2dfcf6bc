-- What an invoice says of the buyer besides the name: address lines and tax number, as they are to be printed.

ALTER TABLE tenant
    ADD COLUMN address    text[] NOT NULL DEFAULT '{}' CHECK (cardinality(address) <= 10),
    ADD COLUMN tax_number text   NULL CHECK (length(tax_number) BETWEEN 1 AND 64);
