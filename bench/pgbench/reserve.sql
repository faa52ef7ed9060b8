\set n :n + 1
\set item random(0, :items - 1)
select proc_reserve_v1('bench', :turn || '-' || :client_id || '-' || :n, 'SKU-' || lpad((:item)::text, 6, '0'), 'MAIN', 1, '{"kind":"reserve","document":"00-00-000000000","system":"bench","order":"00-00-000000000","lines":[{"sku":"SKU-000000","quantity":1,"location":"MAIN"}],"hold_s":900}');
