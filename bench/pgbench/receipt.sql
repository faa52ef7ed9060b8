\set n :n + 1
\set item random(0, :items - 1)
select proc_receipt_v1('bench', :turn || '-' || :client_id || '-' || :n, 'SKU-' || lpad((:item)::text, 6, '0'), 'MAIN', 1, '{"kind":"receipt","document":"00-00-000000000","system":"bench","sku":"SKU-000000","quantity":1,"location":"MAIN","occurred_at":"2026-01-01T00:00:00Z"}');
