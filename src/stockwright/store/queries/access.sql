-- API keys, stored answers and the change log.

-- name: add_key
-- Keeps a new key; answers when it was created.
INSERT INTO api_key (id, name, hash, scopes, system, created_by, expires_at)
VALUES (%(id)s, %(name)s, %(hash)s, %(scopes)s, %(system)s, %(created_by)s, %(expires_at)s)
RETURNING created_at;

-- name: live_key
-- The hash and rights of a key that is neither revoked nor expired, and what its system owns:
-- (hash, name, scopes, system, channels, their classes, locations).
SELECT hash, name, scopes, system,
       ARRAY(SELECT c.code FROM channel c WHERE c.system = api_key.system ORDER BY c.code),
       ARRAY(SELECT c.demand_class FROM channel c WHERE c.system = api_key.system ORDER BY c.code),
       ARRAY(SELECT DISTINCT a.location FROM authority a WHERE a.system = api_key.system)
FROM api_key
WHERE id = %(id)s AND revoked_at IS NULL
  AND (expires_at IS NULL OR expires_at > clock_timestamp());

-- name: touch_key
-- Notes that the key is in use, at most once a minute.
UPDATE api_key SET last_used_at = clock_timestamp()
WHERE id = %(id)s
  AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute');

-- name: keys
-- Every key, oldest first, never its hash.
SELECT id, name, scopes, system, created_at, created_by, expires_at, last_used_at, revoked_at
FROM api_key ORDER BY created_at, id;

-- name: revoke_key
-- Ends a live key; answers its name, or nothing where no live key has this id.
UPDATE api_key SET revoked_at = clock_timestamp()
WHERE id = %(id)s AND revoked_at IS NULL RETURNING name;

-- name: system_exists
-- One row where a system of this code is configured.
SELECT 1 FROM system WHERE code = %(code)s;

-- name: begin_answer
-- Takes the caller's key for one call: a new key, one that ended, or one whose holder died.
-- Answers one row where it was taken.
INSERT INTO idempotency (caller, key, request_hash, locked_until, expires_at)
VALUES (%(caller)s, %(key)s, %(hash)s,
        clock_timestamp() + make_interval(secs => %(lock_s)s),
        clock_timestamp() + make_interval(secs => %(keep_s)s))
ON CONFLICT (caller, key) DO UPDATE
SET request_hash = excluded.request_hash, status = NULL, body = NULL,
    locked_until = excluded.locked_until, expires_at = excluded.expires_at
WHERE idempotency.expires_at < clock_timestamp()
   OR (idempotency.status IS NULL AND idempotency.locked_until < clock_timestamp()
       AND idempotency.request_hash = excluded.request_hash)
RETURNING 1;

-- name: stored_answer
-- What was answered under a key: the hash of that request, and its status, type and body.
SELECT request_hash, status, content_type, body FROM idempotency
WHERE caller = %(caller)s AND key = %(key)s;

-- name: keep_answer
-- Stores the answer of the call that holds the key.
UPDATE idempotency SET status = %(status)s, content_type = %(content_type)s, body = %(body)s
WHERE caller = %(caller)s AND key = %(key)s;

-- name: drop_answer
-- Frees a key whose call was not answered for good, so that it may be tried again.
DELETE FROM idempotency WHERE caller = %(caller)s AND key = %(key)s AND status IS NULL;

-- name: expire_answers
-- Removes stored answers whose time is over, at most a thousand at once.
DELETE FROM idempotency WHERE (caller, key) IN (
    SELECT caller, key FROM idempotency WHERE expires_at < clock_timestamp()
    LIMIT 1000 FOR UPDATE SKIP LOCKED
);

-- name: log_change
-- Notes who changed what.
INSERT INTO change_log (actor, action, subject, detail)
VALUES (%(actor)s, %(action)s, %(subject)s, %(detail)s);

-- name: changes
-- The change log, newest first, as far as it passes the filters.
SELECT id, changed_at, actor, action, subject, detail FROM change_log
WHERE id < %(before)s
  AND (%(actor)s = '' OR actor = %(actor)s)
  AND (%(action)s = '' OR action = %(action)s)
  AND (%(subject)s = '' OR subject = %(subject)s)
  AND (%(since)s::timestamptz IS NULL OR changed_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR changed_at < %(until)s)
ORDER BY id DESC LIMIT %(limit)s;
