-- The ledger of s3proxy: every byte on every backend has a row here before it is
-- sent, and keeps one until it is gone.
--
-- Applied whole at start, under an advisory lock, whenever the digest of this file
-- differs from the one that the database remembers. Every statement can be run again.
-- A later version adds to this file; it never drops what an earlier one left behind
-- without moving the data first.
--
-- The invariants (I1-I4), the states and the rules quoted by number are those of
-- docs/protocol.md.

-- 1. Tables ------------------------------------------------------------------

-- One row: who this installation is. Backend objects carry installation_id, so that
-- two installations may share a backend's bucket.
CREATE TABLE IF NOT EXISTS installation (
    only_row        boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    installation_id text        NOT NULL DEFAULT gen_random_uuid()::text,
    schema_version  integer     NOT NULL DEFAULT 0,
    schema_digest   text        NOT NULL DEFAULT '',
    created_at      timestamptz NOT NULL DEFAULT now(),
    -- Rule 24: the database server that the ledger has been in, as far as anybody has
    -- vouched for that, and what a sweep has found to be wrong with the ledger.
    server_identity text,
    suspicion       text,
    -- Section 16: when all backends were swept last, and what was found.
    swept_at        timestamptz,
    sweep_result    text,
    -- Section 17: until when the bytes that were read use the budget up.
    scrub_paid_until timestamptz
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE installation
    ADD COLUMN IF NOT EXISTS server_identity text,
    ADD COLUMN IF NOT EXISTS suspicion text,
    ADD COLUMN IF NOT EXISTS swept_at timestamptz,
    ADD COLUMN IF NOT EXISTS sweep_result text,
    ADD COLUMN IF NOT EXISTS scrub_paid_until timestamptz;
INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING;

-- A backend's limit and charge. bytes_used is written by the triggers below and by
-- nothing else (I3). bytes_limit 0 means unlimited. location is the endpoint and
-- bucket that the rows' bytes are in, set at first use.
CREATE TABLE IF NOT EXISTS backend_quotas (
    backend_name text        COLLATE "C" PRIMARY KEY,
    location     text,
    bytes_limit  bigint      NOT NULL CHECK (bytes_limit >= 0),
    bytes_used   bigint      NOT NULL DEFAULT 0 CHECK (bytes_used >= 0),
    -- Since when everything is to be moved off it (section 15), and what holds that up.
    draining_since timestamptz,
    drain_word     text,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE backend_quotas
    ADD COLUMN IF NOT EXISTS draining_since timestamptz,
    ADD COLUMN IF NOT EXISTS drain_word text;

CREATE TABLE IF NOT EXISTS buckets (
    bucket     text        COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    tags       jsonb,       -- NULL: the bucket has none
    cors       jsonb,       -- its cross-origin rules; NULL: it has none
    -- Of one made at run time (section 9): the access key that made it, and whose it is.
    owner      text        COLLATE "C",
    -- When that one deleted it. The row stays: see ledger_enter_bucket.
    deleted_at timestamptz
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE buckets
    ADD COLUMN IF NOT EXISTS tags jsonb,
    ADD COLUMN IF NOT EXISTS cors jsonb,
    ADD COLUMN IF NOT EXISTS owner text COLLATE "C",
    ADD COLUMN IF NOT EXISTS deleted_at timestamptz;
CREATE INDEX IF NOT EXISTS buckets_owned
    ON buckets (owner, bucket) WHERE deleted_at IS NULL;

-- What HEAD, LIST and conditions need, without a backend call. The collation makes
-- keys compare as bytes, as S3 lists them.
CREATE TABLE IF NOT EXISTS objects (
    bucket        text        COLLATE "C" NOT NULL,
    object_key    text        COLLATE "C" NOT NULL,
    object_id     text        COLLATE "C" NOT NULL UNIQUE,
    size_bytes    bigint      NOT NULL CHECK (size_bytes >= 0),
    etag          text        NOT NULL,
    content_type  text,
    headers       jsonb       NOT NULL DEFAULT '{}',
    user_metadata jsonb       NOT NULL DEFAULT '{}',
    tags          jsonb       NOT NULL DEFAULT '{}',
    checksums     jsonb       NOT NULL DEFAULT '{}',
    last_modified timestamptz NOT NULL,
    -- When something changed that only a manifest copy tells (section 8), and from when
    -- a job may take it up; NULL when there is nothing to write.
    manifest_wanted_at timestamptz,
    manifest_due_at    timestamptz,
    PRIMARY KEY (bucket, object_key)
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE objects
    ADD COLUMN IF NOT EXISTS manifest_wanted_at timestamptz,
    ADD COLUMN IF NOT EXISTS manifest_due_at timestamptz;
CREATE INDEX IF NOT EXISTS objects_manifest_due
    ON objects (manifest_due_at) WHERE manifest_due_at IS NOT NULL;

-- The manifest: an object's bytes in order. A plain PUT has one part.
CREATE TABLE IF NOT EXISTS object_parts (
    object_id    text    COLLATE "C" NOT NULL,
    part_number  integer NOT NULL CHECK (part_number BETWEEN 1 AND 10000),
    part_id      text    COLLATE "C" NOT NULL UNIQUE,
    offset_bytes bigint  NOT NULL CHECK (offset_bytes >= 0),
    size_bytes   bigint  NOT NULL CHECK (size_bytes >= 0),
    md5          text    NOT NULL,
    checksums    jsonb   NOT NULL DEFAULT '{}',  -- of a part that was uploaded with some
    -- Section 12: how many live copies there are, kept by triggers; and from when a job
    -- may see to it that there are enough.
    live_copies    integer     NOT NULL DEFAULT 0,
    replica_due_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (object_id, part_number)
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE object_parts
    ADD COLUMN IF NOT EXISTS checksums jsonb NOT NULL DEFAULT '{}';

-- One row per copy, and a copy's key is used once, ever.
--   claimed    bytes may be on their way; due_at is the end of the lease
--   live       part of an object
--   garbage    was live; to be deleted after due_at
--   abandoned  a claim that did not commit; to be deleted after due_at, and, where
--              delete_twice says that its body may still land, once more later
--
-- Where is_adopted, the key is not ours and may be used again by anybody (section 10).
CREATE TABLE IF NOT EXISTS object_locations (
    copy_id      text        COLLATE "C" PRIMARY KEY,
    part_id      text        COLLATE "C" NOT NULL,
    backend_name text        COLLATE "C" NOT NULL REFERENCES backend_quotas,
    backend_key  text        COLLATE "C" NOT NULL,
    bucket       text        COLLATE "C" NOT NULL,
    object_key   text        COLLATE "C" NOT NULL,
    size_bytes   bigint      NOT NULL CHECK (size_bytes >= 0),
    state        text        NOT NULL
                 CHECK (state IN ('claimed', 'live', 'garbage', 'abandoned')),
    due_at       timestamptz,
    delete_twice boolean     NOT NULL DEFAULT false,
    attempts     integer     NOT NULL DEFAULT 0,
    backend_etag text,
    version_id   text,
    -- Of garbage: whose bytes it was (pins). Of a live manifest copy: whose it is.
    object_id    text        COLLATE "C",
    is_manifest  boolean     NOT NULL DEFAULT false,  -- no part's bytes (section 8)
    is_adopted   boolean     NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- Of a live copy: since when it is known to be bad, and why (section 17).
    quarantined_at  timestamptz,
    quarantine_word text,
    UNIQUE (backend_name, backend_key),
    CHECK ((state = 'live') = (due_at IS NULL))
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE object_locations
    ADD COLUMN IF NOT EXISTS is_manifest boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS is_adopted boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS quarantined_at timestamptz,
    ADD COLUMN IF NOT EXISTS quarantine_word text;
CREATE INDEX IF NOT EXISTS object_locations_part ON object_locations (part_id);
-- A part has at most one claimed or live copy per backend.
CREATE UNIQUE INDEX IF NOT EXISTS object_locations_one_copy
    ON object_locations (part_id, backend_name) WHERE state IN ('claimed', 'live');
CREATE INDEX IF NOT EXISTS object_locations_due
    ON object_locations (backend_name, due_at) WHERE state <> 'live';
CREATE INDEX IF NOT EXISTS object_locations_manifest
    ON object_locations (object_id) WHERE is_manifest AND state = 'live';
CREATE INDEX IF NOT EXISTS object_locations_quarantined
    ON object_locations (quarantined_at) WHERE quarantined_at IS NOT NULL;

-- The table of an earlier version lacks the counts: they are taken once. Nobody changes
-- copies meanwhile, since the new columns' lock is held.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = 'object_parts'::regclass
                      AND a.attname = 'live_copies')
    THEN
        ALTER TABLE object_parts
            ADD COLUMN live_copies integer NOT NULL DEFAULT 0,
            ADD COLUMN replica_due_at timestamptz NOT NULL DEFAULT now();
        LOCK TABLE object_locations IN SHARE ROW EXCLUSIVE MODE;
        UPDATE object_parts p SET live_copies = held.copies
          FROM (SELECT l.part_id, count(*) AS copies FROM object_locations l
                 WHERE l.state = 'live' GROUP BY l.part_id) held
         WHERE held.part_id = p.part_id;
    END IF;
END $$;
CREATE INDEX IF NOT EXISTS object_parts_copies
    ON object_parts (live_copies, replica_due_at);

-- Long reads keep an overwritten object's bytes: the collector passes over them.
CREATE TABLE IF NOT EXISTS read_pins (
    object_id text        COLLATE "C" PRIMARY KEY,
    until     timestamptz NOT NULL
);

CREATE TABLE IF NOT EXISTS multipart_uploads (
    upload_id     text        COLLATE "C" PRIMARY KEY,
    bucket        text        COLLATE "C" NOT NULL,
    object_key    text        COLLATE "C" NOT NULL,
    state         text        NOT NULL DEFAULT 'open'
                  CHECK (state IN ('open', 'completed', 'aborted')),
    content_type  text,
    headers       jsonb       NOT NULL DEFAULT '{}',
    user_metadata jsonb       NOT NULL DEFAULT '{}',
    tags          jsonb       NOT NULL DEFAULT '{}',
    checksum_algorithm text,
    checksum_type text,
    is_rebuilt    boolean     NOT NULL DEFAULT false,  -- of a lost ledger (section 11)
    answer        jsonb,       -- of a completed one: what a repeat is told
    created_at    timestamptz NOT NULL DEFAULT now(),
    ended_at      timestamptz
);
-- Columns that the table of an earlier version lacks.
ALTER TABLE multipart_uploads
    ADD COLUMN IF NOT EXISTS checksum_algorithm text,
    ADD COLUMN IF NOT EXISTS checksum_type text,
    ADD COLUMN IF NOT EXISTS is_rebuilt boolean NOT NULL DEFAULT false,
    ADD COLUMN IF NOT EXISTS ended_at timestamptz;
CREATE INDEX IF NOT EXISTS multipart_uploads_created
    ON multipart_uploads (created_at);
CREATE INDEX IF NOT EXISTS multipart_uploads_open
    ON multipart_uploads (bucket, object_key, upload_id)
    WHERE state = 'open';

CREATE TABLE IF NOT EXISTS multipart_parts (
    upload_id   text        COLLATE "C" NOT NULL
                REFERENCES multipart_uploads ON DELETE CASCADE,
    part_number integer     NOT NULL CHECK (part_number BETWEEN 1 AND 10000),
    part_id     text        COLLATE "C" NOT NULL UNIQUE,
    etag        text        NOT NULL,
    size_bytes  bigint      NOT NULL CHECK (size_bytes >= 0),
    checksums   jsonb       NOT NULL DEFAULT '{}',
    live_copies integer     NOT NULL DEFAULT 1,  -- as in object_parts, but by its commit
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (upload_id, part_number)
);
-- The table of an earlier version lacks it; a rebuilt part may have more than one copy.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute a
                    WHERE a.attrelid = 'multipart_parts'::regclass
                      AND a.attname = 'live_copies')
    THEN
        ALTER TABLE multipart_parts
            ADD COLUMN live_copies integer NOT NULL DEFAULT 1;
        UPDATE multipart_parts p SET live_copies = held.copies
          FROM (SELECT l.part_id, count(*) AS copies FROM object_locations l
                 WHERE l.state = 'live' GROUP BY l.part_id) held
         WHERE held.part_id = p.part_id AND held.copies <> 1;
    END IF;
END $$;

-- 2. I3 by construction: the counters follow the rows ------------------------------

CREATE OR REPLACE FUNCTION ledger_charge_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE backend_quotas q
       SET bytes_used = q.bytes_used + d.bytes, updated_at = now()
      FROM (SELECT backend_name, sum(size_bytes)::bigint AS bytes
              FROM changed GROUP BY backend_name) d
     WHERE q.backend_name = d.backend_name AND d.bytes <> 0;
    RETURN NULL;
END $$;

-- A counter that would go below zero raises (CHECK): a bug to see, not to hide.
CREATE OR REPLACE FUNCTION ledger_credit_deleted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE backend_quotas q
       SET bytes_used = q.bytes_used - d.bytes, updated_at = now()
      FROM (SELECT backend_name, sum(size_bytes)::bigint AS bytes
              FROM changed GROUP BY backend_name) d
     WHERE q.backend_name = d.backend_name AND d.bytes <> 0;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ledger_recharge_updated() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE backend_quotas SET bytes_used = bytes_used - OLD.size_bytes
     WHERE backend_name = OLD.backend_name;
    UPDATE backend_quotas SET bytes_used = bytes_used + NEW.size_bytes
     WHERE backend_name = NEW.backend_name;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION ledger_credit_truncated() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE backend_quotas SET bytes_used = 0;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER charge_inserted AFTER INSERT ON object_locations
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_charge_inserted();
CREATE OR REPLACE TRIGGER credit_deleted AFTER DELETE ON object_locations
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_credit_deleted();
CREATE OR REPLACE TRIGGER recharge_updated
    AFTER UPDATE OF size_bytes, backend_name ON object_locations
    FOR EACH ROW WHEN (OLD.size_bytes <> NEW.size_bytes
                       OR OLD.backend_name <> NEW.backend_name)
    EXECUTE FUNCTION ledger_recharge_updated();
CREATE OR REPLACE TRIGGER credit_truncated AFTER TRUNCATE ON object_locations
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_credit_truncated();

-- 3. Names ---------------------------------------------------------------------------

-- Crockford's base 32 of the lowest p_digits * 5 bits. A loop, since a PUT needs three
-- ULIDs, and an aggregate over generate_series takes four times as long.
CREATE OR REPLACE FUNCTION ledger_base32(p_number bigint, p_digits integer)
RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    digits text := '';
BEGIN
    FOR i IN 0 .. p_digits - 1 LOOP
        digits := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ',
                         ((p_number >> (5 * i)) & 31)::integer + 1, 1) || digits;
    END LOOP;
    RETURN digits;
END $$;

-- A ULID (48 bits of the database's clock, 80 random bits): github.com/ulid/spec.
-- Digits 13 and 17 of a version 4 UUID are not random, so they are left out.
CREATE OR REPLACE FUNCTION ledger_ulid() RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    random_hex text := replace(gen_random_uuid()::text, '-', '');
BEGIN
    RETURN ledger_base32((extract(epoch FROM clock_timestamp()) * 1000)::bigint, 10)
        || ledger_base32(('x' || substr(random_hex, 1, 10))::bit(40)::bigint, 8)
        || ledger_base32(('x' || substr(random_hex, 21, 10))::bit(40)::bigint, 8);
END $$;

-- The first string after every string that begins with p_prefix, or NULL if there is
-- none: the last code point, raised by one (surrogates do not exist in UTF-8).
CREATE OR REPLACE FUNCTION ledger_after_prefix(p_prefix text)
RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    kept  text := p_prefix;
    point integer;
BEGIN
    WHILE kept <> '' LOOP
        point := ascii(right(kept, 1));
        kept := left(kept, -1);
        IF point < 1114111 THEN
            point := CASE WHEN point = 55295 THEN 57344 ELSE point + 1 END;
            RETURN kept || chr(point);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- 4. The two hot transactions, one round trip each -----------------------------------

-- Whether If-Match and If-None-Match (ETags, or '*') allow a write over p_etag, which
-- is NULL where there is no object.
CREATE OR REPLACE FUNCTION ledger_allows(
    p_etag text, p_if_match text[], p_if_none_match text[])
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (cardinality(p_if_match) = 0
            OR (p_etag IS NOT NULL
                AND ('*' = ANY (p_if_match) OR p_etag = ANY (p_if_match))))
       AND (cardinality(p_if_none_match) = 0
            OR p_etag IS NULL
            OR NOT ('*' = ANY (p_if_none_match) OR p_etag = ANY (p_if_none_match)))
$$;

-- Whether bytes may be written for p_bucket: not when it was made at run time and has
-- been deleted, for then nobody could ever see or delete them. The row is locked against
-- its deletion until the end of the transaction, before any other row (rule 26). SHARE,
-- since a KEY SHARE would be let past an update that is under way. Buckets of the
-- configuration are never deleted, so nobody is held up there.
CREATE OR REPLACE FUNCTION ledger_enter_bucket(p_bucket text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    is_gone boolean;
BEGIN
    SELECT b.deleted_at IS NOT NULL INTO is_gone FROM buckets b
      WHERE b.bucket = p_bucket AND b.owner IS NOT NULL FOR SHARE;
    RETURN is_gone IS NOT TRUE;
END $$;

-- The first backend with room for p_size that is not being drained, its quota row locked
-- until the end of the transaction; NULL if there is none. The lock makes claims on one
-- backend take turns, so no race takes a counter past its limit.
CREATE OR REPLACE FUNCTION ledger_place(p_backends text[], p_size bigint)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    candidate text;
BEGIN
    FOREACH candidate IN ARRAY p_backends LOOP
        PERFORM 1 FROM backend_quotas q
          WHERE q.backend_name = candidate
            AND (q.bytes_limit = 0 OR q.bytes_used + p_size <= q.bytes_limit)
            AND q.draining_since IS NULL
            FOR NO KEY UPDATE;
        IF FOUND THEN
            RETURN candidate;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- The first p_most backends with room for p_size, at least p_least of them, their quota
-- rows locked likewise; NULL if there are too few. Locked in the order of their names, so
-- that two that ask in another order wait for each other and never deadlock.
CREATE OR REPLACE FUNCTION ledger_place_copies(
    p_backends text[], p_size bigint, p_least integer, p_most integer)
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    roomy text[];
BEGIN
    IF p_most = 1 THEN
        -- Only one row is locked: claims on the others go on meanwhile.
        roomy := ARRAY[ledger_place(p_backends, p_size)];
        RETURN CASE WHEN roomy[1] IS NOT NULL THEN roomy END;
    END IF;
    SELECT array_agg(r.backend_name) INTO roomy FROM (
        SELECT q.backend_name FROM backend_quotas q
         WHERE q.backend_name = ANY (p_backends)
           AND (q.bytes_limit = 0 OR q.bytes_used + p_size <= q.bytes_limit)
           AND q.draining_since IS NULL
         ORDER BY q.backend_name FOR NO KEY UPDATE) r;
    IF coalesce(cardinality(roomy), 0) < p_least THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY(SELECT name FROM unnest(roomy) AS r (name)
                  ORDER BY array_position(p_backends, name) LIMIT p_most);
END $$;

-- Rule 6: charge p_size to the first p_most backends with room, p_least at the least, and
-- name a copy of one part on each, before a byte is sent. outcome: 'claimed', a row for
-- each; or one row with 'full', 'precondition' or 'no_bucket'.
CREATE OR REPLACE FUNCTION ledger_claim_copies(
    p_backends text[], p_bucket text, p_key text, p_opaque boolean, p_size bigint,
    p_lease interval, p_if_match text[], p_if_none_match text[], p_least integer,
    p_most integer)
RETURNS TABLE (outcome text, o_copy_id text, o_part_id text, o_backend_name text,
               o_backend_key text)
LANGUAGE plpgsql AS $$
DECLARE
    chosen text[];
BEGIN
    IF NOT ledger_enter_bucket(p_bucket) THEN
        outcome := 'no_bucket';
        RETURN NEXT;
        RETURN;
    END IF;
    IF cardinality(p_if_match) > 0 OR cardinality(p_if_none_match) > 0 THEN
        IF NOT ledger_allows(
            (SELECT o.etag FROM objects o
              WHERE o.bucket = p_bucket AND o.object_key = p_key),
            p_if_match, p_if_none_match)
        THEN
            outcome := 'precondition';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    chosen := ledger_place_copies(p_backends, p_size, p_least, p_most);
    IF chosen IS NULL THEN
        outcome := 'full';
        RETURN NEXT;
        RETURN;
    END IF;
    outcome := 'claimed';
    o_part_id := ledger_ulid();
    FOREACH o_backend_name IN ARRAY chosen LOOP
        o_copy_id := ledger_ulid();
        o_backend_key := CASE WHEN p_opaque THEN '~/' || o_copy_id
                              ELSE p_key || '~' || o_copy_id END;
        INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                      bucket, object_key, size_bytes, state, due_at)
        VALUES (o_copy_id, o_part_id, o_backend_name, o_backend_key, p_bucket, p_key,
                p_size, 'claimed', clock_timestamp() + p_lease);
        RETURN NEXT;
    END LOOP;
END $$;

-- As earlier versions call it: on one backend.
CREATE OR REPLACE FUNCTION ledger_claim(
    p_backends text[], p_bucket text, p_key text, p_opaque boolean, p_size bigint,
    p_lease interval, p_if_match text[], p_if_none_match text[],
    OUT outcome text, OUT o_copy_id text, OUT o_part_id text,
    OUT o_backend_name text, OUT o_backend_key text)
LANGUAGE sql AS $$
    SELECT * FROM ledger_claim_copies(
        p_backends, p_bucket, p_key, p_opaque, p_size, p_lease, p_if_match,
        p_if_none_match, 1, 1)
$$;

-- The manifest copies of an object become garbage; nobody reads them but a rebuild.
-- The caller holds the lock on the object's row.
CREATE OR REPLACE FUNCTION ledger_discard_manifests(p_object_id text)
RETURNS void LANGUAGE sql AS $$
    UPDATE object_locations l SET state = 'garbage', due_at = clock_timestamp()
     WHERE l.object_id = p_object_id AND l.is_manifest AND l.state = 'live';
$$;

-- The live copies of an object become garbage, and its manifest goes. The caller holds
-- the lock on the object's row.
--
-- All in one statement, by a probe of an index for each part: a join would be planned
-- for the few parts that statistics tell of, and may then take every part times every
-- copy; a statement for each part takes several times as long.
CREATE OR REPLACE FUNCTION ledger_discard(p_object_id text, p_grace interval)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    gone text[];
BEGIN
    PERFORM ledger_discard_manifests(p_object_id);
    WITH deleted AS (
        DELETE FROM object_parts p WHERE p.object_id = p_object_id RETURNING p.part_id)
    SELECT array_agg(d.part_id) INTO gone FROM deleted d;
    UPDATE object_locations l
       SET state = 'garbage', object_id = p_object_id,
           due_at = clock_timestamp() + p_grace
     WHERE l.part_id = ANY (gone) AND l.state = 'live';
END $$;

-- How many claims of one body are claimed yet, and the part that they are of; they are
-- locked until the end of the transaction. One by one, here and below: whatever the
-- statistics say, that is a probe of the primary key.
CREATE OR REPLACE FUNCTION ledger_lock_claims(
    p_copy_ids text[], OUT o_count integer, OUT o_part_id text)
LANGUAGE plpgsql AS $$
DECLARE
    claim text;
    found_part text;
BEGIN
    o_count := 0;
    FOR claim IN SELECT c.copy_id FROM unnest(p_copy_ids) AS c (copy_id) ORDER BY 1 LOOP
        SELECT l.part_id INTO found_part FROM object_locations l
          WHERE l.copy_id = claim AND l.state = 'claimed' FOR UPDATE;
        IF FOUND THEN
            o_count := o_count + 1;
            o_part_id := found_part;
        END IF;
    END LOOP;
END $$;

-- What is claimed yet of these becomes abandoned: stored, and refused at the commit.
CREATE OR REPLACE FUNCTION ledger_refuse_claims(
    p_copy_ids text[], p_version_ids text[])
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_copy_ids) LOOP
        UPDATE object_locations
           SET state = 'abandoned', due_at = clock_timestamp(),
               version_id = p_version_ids[i]
         WHERE copy_id = p_copy_ids[i] AND state = 'claimed';
    END LOOP;
END $$;

-- And live; ledger_lock_claims has locked them.
CREATE OR REPLACE FUNCTION ledger_enliven_claims(
    p_copy_ids text[], p_backend_etags text[], p_version_ids text[], p_size bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. cardinality(p_copy_ids) LOOP
        UPDATE object_locations
           SET state = 'live', due_at = NULL, size_bytes = p_size,
               backend_etag = p_backend_etags[i], version_id = p_version_ids[i]
         WHERE copy_id = p_copy_ids[i] AND state = 'claimed';
    END LOOP;
END $$;

-- Rule 9: the claims become live and the object's only version, in one transaction.
-- outcome: 'committed', 'lost' (fewer than p_least are claimed yet; nothing changed) or
-- 'precondition' and 'no_bucket' (the claims are now abandoned; nothing else changed).
-- p_backend_etags and p_version_ids stand beside p_copy_ids.
--
-- Lock order: the bucket's row, the object's, then the claims (rule 26). Writers of an
-- absent key meet at the primary key: the later one waits, then finds a row.
--
-- p_needs_manifest: the backend objects do not tell all that is recorded here.
CREATE OR REPLACE FUNCTION ledger_commit_copies(
    p_copy_ids text[], p_backend_etags text[], p_version_ids text[], p_least integer,
    p_bucket text, p_key text, p_size bigint, p_md5 text, p_content_type text,
    p_headers jsonb, p_user_metadata jsonb, p_checksums jsonb, p_if_match text[],
    p_if_none_match text[], p_grace interval, p_needs_manifest boolean, p_tags jsonb,
    OUT outcome text, OUT o_object_id text, OUT o_last_modified timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    existing objects;
    exists_now boolean;
    copies integer;
    a_part_id text;
    wanted_at timestamptz := CASE WHEN p_needs_manifest THEN clock_timestamp() END;
BEGIN
    IF NOT ledger_enter_bucket(p_bucket) THEN
        -- Its deletion has done the same, but for a claim of an older daemon.
        PERFORM ledger_refuse_claims(p_copy_ids, p_version_ids);
        outcome := 'no_bucket';
        RETURN;
    END IF;
    o_object_id := ledger_ulid();
    LOOP
        SELECT * INTO existing FROM objects o
          WHERE o.bucket = p_bucket AND o.object_key = p_key FOR UPDATE;
        exists_now := FOUND;
        SELECT c.o_count, c.o_part_id INTO copies, a_part_id
          FROM ledger_lock_claims(p_copy_ids) c;
        IF copies < p_least THEN
            outcome := 'lost';
            RETURN;
        END IF;
        IF NOT ledger_allows(existing.etag, p_if_match, p_if_none_match) THEN
            PERFORM ledger_refuse_claims(p_copy_ids, p_version_ids);
            outcome := 'precondition';
            RETURN;
        END IF;
        o_last_modified := date_trunc('milliseconds', clock_timestamp());
        EXIT WHEN exists_now;
        INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag,
                             content_type, headers, user_metadata, tags, checksums,
                             last_modified, manifest_wanted_at, manifest_due_at)
        VALUES (p_bucket, p_key, o_object_id, p_size, p_md5, p_content_type, p_headers,
                p_user_metadata, p_tags, p_checksums, o_last_modified, wanted_at,
                wanted_at)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    IF exists_now THEN
        PERFORM ledger_discard(existing.object_id, p_grace);
        UPDATE objects
           SET object_id = o_object_id, size_bytes = p_size, etag = p_md5,
               content_type = p_content_type, headers = p_headers,
               user_metadata = p_user_metadata, tags = p_tags, checksums = p_checksums,
               last_modified = o_last_modified, manifest_wanted_at = wanted_at,
               manifest_due_at = wanted_at
         WHERE bucket = p_bucket AND object_key = p_key;
    END IF;
    -- Live before there is a part of it, so that no trigger writes to that row again.
    PERFORM ledger_enliven_claims(p_copy_ids, p_backend_etags, p_version_ids, p_size);
    INSERT INTO object_parts (object_id, part_number, part_id, offset_bytes, size_bytes,
                              md5, live_copies)
    VALUES (o_object_id, 1, a_part_id, 0, p_size, p_md5, copies);
    outcome := 'committed';
END $$;

-- As earlier versions call it: of one copy.
CREATE OR REPLACE FUNCTION ledger_commit(
    p_copy_id text, p_bucket text, p_key text, p_size bigint, p_md5 text,
    p_content_type text, p_headers jsonb, p_user_metadata jsonb, p_checksums jsonb,
    p_backend_etag text, p_version_id text, p_if_match text[], p_if_none_match text[],
    p_grace interval, p_needs_manifest boolean, p_tags jsonb,
    OUT outcome text, OUT o_object_id text, OUT o_last_modified timestamptz)
LANGUAGE sql AS $$
    SELECT * FROM ledger_commit_copies(
        ARRAY[p_copy_id], ARRAY[p_backend_etag], ARRAY[p_version_id], 1, p_bucket,
        p_key, p_size, p_md5, p_content_type, p_headers, p_user_metadata, p_checksums,
        p_if_match, p_if_none_match, p_grace, p_needs_manifest, p_tags)
$$;

-- As earlier versions call it. Its default stays, since defaults cannot be taken away;
-- the function above has none, so that no call fits both.
CREATE OR REPLACE FUNCTION ledger_commit(
    p_copy_id text, p_bucket text, p_key text, p_size bigint, p_md5 text,
    p_content_type text, p_headers jsonb, p_user_metadata jsonb, p_checksums jsonb,
    p_backend_etag text, p_version_id text, p_if_match text[], p_if_none_match text[],
    p_grace interval, p_needs_manifest boolean DEFAULT false,
    OUT outcome text, OUT o_object_id text, OUT o_last_modified timestamptz)
LANGUAGE sql AS $$
    SELECT * FROM ledger_commit(
        p_copy_id, p_bucket, p_key, p_size, p_md5, p_content_type, p_headers,
        p_user_metadata, p_checksums, p_backend_etag, p_version_id, p_if_match,
        p_if_none_match, p_grace, p_needs_manifest, '{}'::jsonb)
$$;

-- Rule 11: no backend call; the collector does the rest. Returns 'deleted', 'absent', or
-- 'precondition': p_if_match (ETags, or '*') does not hold, and nothing has changed.
CREATE OR REPLACE FUNCTION ledger_delete_if(
    p_bucket text, p_key text, p_if_match text[], p_grace interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    doomed objects;
BEGIN
    SELECT * INTO doomed FROM objects o
      WHERE o.bucket = p_bucket AND o.object_key = p_key FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'absent';
    END IF;
    IF NOT ledger_allows(doomed.etag, p_if_match, '{}') THEN
        RETURN 'precondition';
    END IF;
    DELETE FROM objects o WHERE o.bucket = p_bucket AND o.object_key = p_key;
    PERFORM ledger_discard(doomed.object_id, p_grace);
    RETURN 'deleted';
END $$;

-- As earlier versions call it: whether there was an object.
CREATE OR REPLACE FUNCTION ledger_delete(
    p_bucket text, p_key text, p_grace interval)
RETURNS boolean LANGUAGE sql AS $$
    SELECT ledger_delete_if(p_bucket, p_key, '{}', p_grace) = 'deleted'
$$;

-- Many at once, each as in ledger_delete_if. p_etags stand beside p_keys: an ETag that
-- the object must have, '*' for any, NULL for no condition. The outcomes stand beside
-- them too.
--
-- Rows are locked in the order of the keys, whatever the order asked for, so that two
-- such requests wait for each other and never deadlock (rule 26).
CREATE OR REPLACE FUNCTION ledger_delete_many(
    p_bucket text, p_keys text[], p_etags text[], p_grace interval)
RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    outcomes text[] := array_fill(NULL::text, ARRAY[cardinality(p_keys)]);
    doomed record;
BEGIN
    FOR doomed IN
        SELECT a.object_key, a.etag, a.place
          FROM unnest(p_keys, p_etags) WITH ORDINALITY AS a (object_key, etag, place)
         ORDER BY a.object_key COLLATE "C", a.place
    LOOP
        outcomes[doomed.place] := ledger_delete_if(
            p_bucket, doomed.object_key,
            CASE WHEN doomed.etag IS NULL THEN '{}' ELSE ARRAY[doomed.etag] END,
            p_grace);
    END LOOP;
    RETURN outcomes;
END $$;

-- 5. Listing ---------------------------------------------------------------------------

-- At most p_limit entries after p_after: keys, and common prefixes each once. Every
-- common prefix costs one probe of the primary key: the scan starts again behind it.
CREATE OR REPLACE FUNCTION ledger_list(
    p_bucket text, p_prefix text, p_delimiter text, p_after text, p_limit integer)
RETURNS TABLE (common_prefix text, listed objects)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    stop_at text := ledger_after_prefix(p_prefix);
    from_key text := p_prefix;
    beyond text := NULL;
    cut integer;
    count_left integer := p_limit;
    entry objects;
BEGIN
    -- The lower bound is from_key, inclusive; or beyond, exclusive.
    IF p_after COLLATE "C" >= p_prefix COLLATE "C" THEN
        from_key := p_after;
        beyond := p_after;
        -- Within a common prefix, that whole prefix has been passed.
        IF p_delimiter <> '' AND starts_with(p_after, p_prefix) THEN
            cut := strpos(substr(p_after, length(p_prefix) + 1), p_delimiter);
            IF cut > 0 THEN
                from_key := ledger_after_prefix(
                    left(p_after, length(p_prefix) + cut + length(p_delimiter) - 1));
                beyond := NULL;
                IF from_key IS NULL THEN
                    RETURN;
                END IF;
            END IF;
        END IF;
    END IF;
    IF p_delimiter = '' THEN
        RETURN QUERY SELECT NULL::text, o FROM objects o
          WHERE o.bucket = p_bucket AND o.object_key >= from_key
            AND (beyond IS NULL OR o.object_key > beyond)
            AND (stop_at IS NULL OR o.object_key < stop_at)
          ORDER BY o.object_key LIMIT p_limit;
        RETURN;
    END IF;
    WHILE count_left > 0 AND from_key IS NOT NULL LOOP
        cut := 0;
        FOR entry IN SELECT * FROM objects o
              WHERE o.bucket = p_bucket AND o.object_key >= from_key
                AND (beyond IS NULL OR o.object_key > beyond)
                AND (stop_at IS NULL OR o.object_key < stop_at)
              ORDER BY o.object_key LIMIT count_left
        LOOP
            cut := strpos(substr(entry.object_key, length(p_prefix) + 1), p_delimiter);
            IF cut > 0 THEN
                common_prefix := left(
                    entry.object_key, length(p_prefix) + cut + length(p_delimiter) - 1);
                listed := NULL;
                RETURN NEXT;
                from_key := ledger_after_prefix(common_prefix);
                beyond := NULL;
                count_left := count_left - 1;
                EXIT;
            END IF;
            common_prefix := NULL;
            listed := entry;
            RETURN NEXT;
            count_left := count_left - 1;
        END LOOP;
        EXIT WHEN cut = 0;
    END LOOP;
END $$;

-- 6. Recovery: leases, collection --------------------------------------------------------

-- Whether reaper and collector may act: not within one lease of the database's start,
-- since writers and readers could not extend leases and pins while it was away.
CREATE OR REPLACE FUNCTION ledger_is_settled(p_lease interval)
RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT clock_timestamp() > pg_postmaster_start_time() + p_lease
$$;

-- Where the ledger is: the server's identifier and timeline, the database and the table.
-- Another server, a promoted standby or a point in time recovered to changes the first
-- two; a dump that is restored changes the last. Servers that do not tell are all alike.
CREATE OR REPLACE FUNCTION ledger_server_identity()
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    server text := 'untold';
    timeline text := 'untold';
BEGIN
    BEGIN
        SELECT c.system_identifier::text INTO server FROM pg_control_system() c;
        timeline := left(pg_walfile_name(pg_current_wal_lsn()), 8);
    EXCEPTION WHEN insufficient_privilege OR feature_not_supported
                OR undefined_function THEN
        NULL;
    END;
    RETURN concat_ws('/', server, timeline,
                     (SELECT d.oid FROM pg_database d
                       WHERE d.datname = current_database()),
                     'installation'::regclass::oid);
END $$;
UPDATE installation SET server_identity = ledger_server_identity()
 WHERE server_identity IS NULL;

-- Rule 24: why nothing may be deleted; NULL where all is well. A ledger that has gone back
-- in time takes acknowledged bytes for garbage, or for nobody's.
CREATE OR REPLACE FUNCTION ledger_held()
RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN i.server_identity <> ledger_server_identity()
                THEN 'the database is not where it was: a backup was restored, or '
                     'a standby has taken over'
                ELSE i.suspicion END
      FROM installation i
$$;

-- Somebody vouches for the ledger as it is.
CREATE OR REPLACE FUNCTION ledger_accept_restore()
RETURNS void LANGUAGE sql AS $$
    UPDATE installation
       SET server_identity = ledger_server_identity(), suspicion = NULL
$$;

-- Rule 22: claims whose lease is over are abandoned. Their owner may be alive and
-- slow, so their bytes may land late.
CREATE OR REPLACE FUNCTION ledger_reap(p_limit integer, p_lease interval)
RETURNS bigint LANGUAGE sql AS $$
    WITH due AS (
        SELECT l.copy_id FROM object_locations l
         WHERE l.state = 'claimed' AND l.due_at < clock_timestamp()
           AND ledger_is_settled(p_lease)
         ORDER BY l.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED),
    reaped AS (
        UPDATE object_locations l
           SET state = 'abandoned', due_at = clock_timestamp(), delete_twice = true
          FROM due WHERE l.copy_id = due.copy_id RETURNING 1)
    SELECT count(*) FROM reaped
$$;

-- Rule 20: take due garbage of one backend, for p_hold and longer at each failure.
-- attempts is the token that ledger_collected wants back: a worker that was slow
-- finds it changed. Adopted copies are for ledger_collect_adopted alone: a daemon of an
-- earlier version calls this one, and would delete without comparing.
CREATE OR REPLACE FUNCTION ledger_collect(
    p_backend text, p_limit integer, p_hold interval, p_lease interval)
RETURNS TABLE (o_copy_id text, o_attempts integer, o_backend_key text,
               o_version_id text)
LANGUAGE sql AS $$
    WITH due AS (
        SELECT l.copy_id FROM object_locations l
         WHERE l.backend_name = p_backend AND NOT l.is_adopted
           AND l.state IN ('garbage', 'abandoned') AND l.due_at <= clock_timestamp()
           AND ledger_is_settled(p_lease) AND ledger_held() IS NULL
           AND NOT EXISTS (SELECT 1 FROM read_pins r
                            WHERE r.object_id = l.object_id
                              AND r.until > clock_timestamp())
         ORDER BY l.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED)
    UPDATE object_locations l
       SET attempts = l.attempts + 1,
           due_at = clock_timestamp()
                    + least(p_hold * power(2, least(l.attempts, 20)), '1 hour')
      FROM due WHERE l.copy_id = due.copy_id
    RETURNING l.copy_id, l.attempts, l.backend_key, l.version_id
$$;

-- The backend has confirmed that these keys are gone. One that is to be deleted twice
-- waits for p_late and comes again; an adopted one leaves a tombstone without bytes for
-- as long (rule 36); the others are forgotten, which frees their bytes.
CREATE OR REPLACE FUNCTION ledger_collected(
    p_copy_ids text[], p_attempts integer[], p_late interval)
RETURNS bigint LANGUAGE sql AS $$
    WITH done AS (
        SELECT * FROM unnest(p_copy_ids, p_attempts) AS d (copy_id, attempts)),
    again AS (
        UPDATE object_locations l
           SET delete_twice = false,
               due_at = clock_timestamp() + p_late
          FROM done d
         WHERE l.copy_id = d.copy_id AND l.attempts = d.attempts
           AND l.state = 'abandoned' AND l.delete_twice),
    buried AS (
        UPDATE object_locations l
           SET state = 'abandoned', size_bytes = 0, due_at = clock_timestamp() + p_late
          FROM done d
         WHERE l.copy_id = d.copy_id AND l.attempts = d.attempts
           AND l.state = 'garbage' AND l.is_adopted
        RETURNING 1),
    gone AS (
        DELETE FROM object_locations l USING done d
         WHERE l.copy_id = d.copy_id AND l.attempts = d.attempts
           AND l.state IN ('garbage', 'abandoned') AND NOT l.delete_twice
           AND NOT l.is_adopted
        RETURNING 1)
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM buried)
$$;

-- 7. Multipart uploads ---------------------------------------------------------------------
--
-- A part is a copy like any other. Complete is one transaction that turns part rows into
-- a manifest: no backend call, no second copy of the bytes. The upload's row decides
-- Complete against Abort, UploadPart and expiry (rules 12 to 14).

-- At most p_limit entries after the markers, by key, then by time (an upload's id begins
-- with a ULID). Open uploads are few, so a common prefix is passed over row by row.
CREATE OR REPLACE FUNCTION ledger_list_uploads(
    p_bucket text, p_prefix text, p_delimiter text, p_key_marker text,
    p_upload_marker text, p_limit integer)
RETURNS TABLE (common_prefix text, listed multipart_uploads)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    stop_at text := ledger_after_prefix(p_prefix);
    cut integer;
    count_left integer := p_limit;
    last_prefix text := NULL;
    rolled_up text;
    entry multipart_uploads;
BEGIN
    FOR entry IN SELECT * FROM multipart_uploads u
          WHERE u.bucket = p_bucket AND u.state = 'open'
            AND u.object_key >= greatest(p_prefix COLLATE "C", p_key_marker)
            AND (stop_at IS NULL OR u.object_key < stop_at)
            AND (u.object_key > p_key_marker
                 OR (u.object_key = p_key_marker AND p_upload_marker <> ''
                     AND u.upload_id > p_upload_marker)
                 OR p_key_marker = '')
          ORDER BY u.object_key, u.upload_id
    LOOP
        EXIT WHEN count_left = 0;
        cut := CASE WHEN p_delimiter = '' THEN 0 ELSE
            strpos(substr(entry.object_key, length(p_prefix) + 1), p_delimiter) END;
        IF cut > 0 THEN
            rolled_up := left(
                entry.object_key, length(p_prefix) + cut + length(p_delimiter) - 1);
            CONTINUE WHEN rolled_up = last_prefix
                OR rolled_up COLLATE "C" <= p_key_marker;
            last_prefix := rolled_up;
            common_prefix := rolled_up;
            listed := NULL;
        ELSE
            common_prefix := NULL;
            listed := entry;
        END IF;
        RETURN NEXT;
        count_left := count_left - 1;
    END LOOP;
END $$;

-- Charge and name one part's bytes, as ledger_claim_copies does. outcome: 'claimed', a row
-- for each copy; or one row with 'full' or 'no_upload'.
CREATE OR REPLACE FUNCTION ledger_claim_part_copies(
    p_backends text[], p_upload_id text, p_bucket text, p_key text, p_opaque boolean,
    p_part_number integer, p_size bigint, p_lease interval, p_least integer,
    p_most integer)
RETURNS TABLE (outcome text, o_copy_id text, o_part_id text, o_backend_name text,
               o_backend_key text)
LANGUAGE plpgsql AS $$
DECLARE
    chosen text[];
BEGIN
    IF NOT EXISTS (SELECT 1 FROM multipart_uploads u
                    WHERE u.upload_id = p_upload_id AND u.bucket = p_bucket
                      AND u.object_key = p_key AND u.state = 'open')
    THEN
        outcome := 'no_upload';
        RETURN NEXT;
        RETURN;
    END IF;
    chosen := ledger_place_copies(p_backends, p_size, p_least, p_most);
    IF chosen IS NULL THEN
        outcome := 'full';
        RETURN NEXT;
        RETURN;
    END IF;
    outcome := 'claimed';
    o_part_id := ledger_ulid();
    FOREACH o_backend_name IN ARRAY chosen LOOP
        o_copy_id := ledger_ulid();
        o_backend_key := CASE WHEN p_opaque THEN '~/' || o_copy_id
                              ELSE p_key || '~' || o_copy_id END
                         || '.' || lpad(p_part_number::text, 5, '0');
        INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                      bucket, object_key, size_bytes, state, due_at)
        VALUES (o_copy_id, o_part_id, o_backend_name, o_backend_key, p_bucket, p_key,
                p_size, 'claimed', clock_timestamp() + p_lease);
        RETURN NEXT;
    END LOOP;
END $$;

-- As earlier versions call it: on one backend.
CREATE OR REPLACE FUNCTION ledger_claim_part(
    p_backends text[], p_upload_id text, p_bucket text, p_key text, p_opaque boolean,
    p_part_number integer, p_size bigint, p_lease interval,
    OUT outcome text, OUT o_copy_id text, OUT o_part_id text,
    OUT o_backend_name text, OUT o_backend_key text)
LANGUAGE sql AS $$
    SELECT * FROM ledger_claim_part_copies(
        p_backends, p_upload_id, p_bucket, p_key, p_opaque, p_part_number, p_size,
        p_lease, 1, 1)
$$;

-- Rule 12: the claims become the upload's part of that number, and a part that was sent
-- before under the number becomes garbage. outcome: 'committed', 'lost' (fewer than
-- p_least are claimed yet; nothing changed) or 'no_upload' (completed or aborted
-- meanwhile; the claims are now abandoned).
CREATE OR REPLACE FUNCTION ledger_commit_part_copies(
    p_copy_ids text[], p_backend_etags text[], p_version_ids text[], p_least integer,
    p_upload_id text, p_part_number integer, p_size bigint, p_md5 text,
    p_checksums jsonb,
    OUT outcome text, OUT o_last_modified timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    copies integer;
    a_part_id text;
    is_open boolean;
    displaced text;
BEGIN
    -- FOR UPDATE, not SHARE: two attempts at one part number take turns.
    SELECT u.state = 'open' INTO is_open FROM multipart_uploads u
      WHERE u.upload_id = p_upload_id FOR UPDATE;
    SELECT c.o_count, c.o_part_id INTO copies, a_part_id
      FROM ledger_lock_claims(p_copy_ids) c;
    IF copies < p_least THEN
        outcome := 'lost';
        RETURN;
    END IF;
    IF is_open IS NOT TRUE THEN
        PERFORM ledger_refuse_claims(p_copy_ids, p_version_ids);
        outcome := 'no_upload';
        RETURN;
    END IF;
    DELETE FROM multipart_parts p
      WHERE p.upload_id = p_upload_id AND p.part_number = p_part_number
      RETURNING p.part_id INTO displaced;
    IF displaced IS NOT NULL THEN
        UPDATE object_locations SET state = 'garbage', due_at = clock_timestamp()
         WHERE part_id = displaced AND state = 'live';
    END IF;
    o_last_modified := date_trunc('milliseconds', clock_timestamp());
    INSERT INTO multipart_parts (upload_id, part_number, part_id, etag, size_bytes,
                                 checksums, live_copies, created_at)
    VALUES (p_upload_id, p_part_number, a_part_id, p_md5, p_size, p_checksums, copies,
            o_last_modified);
    PERFORM ledger_enliven_claims(p_copy_ids, p_backend_etags, p_version_ids, p_size);
    outcome := 'committed';
END $$;

-- As earlier versions call it: of one copy.
CREATE OR REPLACE FUNCTION ledger_commit_part(
    p_copy_id text, p_upload_id text, p_part_number integer, p_size bigint, p_md5 text,
    p_checksums jsonb, p_backend_etag text, p_version_id text,
    OUT outcome text, OUT o_last_modified timestamptz)
LANGUAGE sql AS $$
    SELECT * FROM ledger_commit_part_copies(
        ARRAY[p_copy_id], ARRAY[p_backend_etag], ARRAY[p_version_id], 1, p_upload_id,
        p_part_number, p_size, p_md5, p_checksums)
$$;

-- What an upload has in parts becomes garbage; in one statement, as in ledger_discard.
CREATE OR REPLACE FUNCTION ledger_drop_parts(p_upload_id text)
RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    gone text[];
BEGIN
    WITH deleted AS (
        DELETE FROM multipart_parts p WHERE p.upload_id = p_upload_id
        RETURNING p.part_id)
    SELECT array_agg(d.part_id) INTO gone FROM deleted d;
    UPDATE object_locations l SET state = 'garbage', due_at = clock_timestamp()
     WHERE l.part_id = ANY (gone) AND l.state = 'live';
END $$;

-- Rule 13. p_numbers ascend, p_etags stand beside them. outcome:
--   'completed'     o_answer says what the client is told; a repeat gets the same
--   'no_upload'     unknown, of another bucket or key, or aborted
--   'invalid_part'  o_part: not uploaded, or with another ETag
--   'too_small'     o_part: under p_least bytes and not the last
--   'precondition'  If-Match or If-None-Match does not hold
-- but for 'completed', nothing has changed.
CREATE OR REPLACE FUNCTION ledger_complete(
    p_upload_id text, p_bucket text, p_key text, p_numbers integer[], p_etags text[],
    p_least bigint, p_checksums jsonb, p_if_match text[], p_if_none_match text[],
    p_grace interval,
    OUT outcome text, OUT o_part integer, OUT o_answer jsonb)
LANGUAGE plpgsql
-- Planned for the few parts of earlier uploads, the joins of many would take minutes.
SET plan_cache_mode = force_custom_plan SET enable_nestloop = off AS $$
DECLARE
    existing objects;
    exists_now boolean;
    upload multipart_uploads;
    new_object_id text := ledger_ulid();
    total bigint;
    whole_etag text;
    stamp timestamptz;
BEGIN
    IF NOT ledger_enter_bucket(p_bucket) THEN
        outcome := 'no_upload';
        RETURN;
    END IF;
    LOOP
        SELECT * INTO existing FROM objects o
          WHERE o.bucket = p_bucket AND o.object_key = p_key FOR UPDATE;
        exists_now := FOUND;
        SELECT * INTO upload FROM multipart_uploads u
          WHERE u.upload_id = p_upload_id AND u.bucket = p_bucket
            AND u.object_key = p_key AND u.state <> 'aborted' FOR UPDATE;
        IF NOT FOUND THEN
            outcome := 'no_upload';
            RETURN;
        END IF;
        IF upload.state = 'completed' THEN
            outcome := 'completed';
            o_answer := upload.answer;
            RETURN;
        END IF;
        IF NOT ledger_allows(existing.etag, p_if_match, p_if_none_match) THEN
            outcome := 'precondition';
            RETURN;
        END IF;
        SELECT w.part_number INTO o_part
          FROM unnest(p_numbers, p_etags) AS w (part_number, etag)
          LEFT JOIN multipart_parts p
            ON p.upload_id = p_upload_id AND p.part_number = w.part_number
         WHERE p.etag IS DISTINCT FROM w.etag
         ORDER BY w.part_number LIMIT 1;
        IF FOUND THEN
            outcome := 'invalid_part';
            RETURN;
        END IF;
        SELECT p.part_number INTO o_part FROM multipart_parts p
         WHERE p.upload_id = p_upload_id AND p.part_number = ANY (p_numbers)
           AND p.size_bytes < p_least
           AND p.part_number <> p_numbers[cardinality(p_numbers)]
         ORDER BY p.part_number LIMIT 1;
        IF FOUND THEN
            outcome := 'too_small';
            RETURN;
        END IF;
        SELECT sum(p.size_bytes),
               md5(string_agg(decode(p.etag, 'hex'), ''::bytea ORDER BY p.part_number))
               || '-' || count(*)
          INTO total, whole_etag
          FROM multipart_parts p
         WHERE p.upload_id = p_upload_id AND p.part_number = ANY (p_numbers);
        stamp := date_trunc('milliseconds', clock_timestamp());
        EXIT WHEN exists_now;
        INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag,
                             content_type, headers, user_metadata, tags, checksums,
                             last_modified, manifest_wanted_at, manifest_due_at)
        VALUES (p_bucket, p_key, new_object_id, total, whole_etag, upload.content_type,
                upload.headers, upload.user_metadata, upload.tags, p_checksums, stamp,
                stamp, stamp)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    IF exists_now THEN
        PERFORM ledger_discard(existing.object_id, p_grace);
        UPDATE objects
           SET object_id = new_object_id, size_bytes = total, etag = whole_etag,
               content_type = upload.content_type, headers = upload.headers,
               user_metadata = upload.user_metadata, tags = upload.tags,
               checksums = p_checksums, last_modified = stamp,
               manifest_wanted_at = stamp, manifest_due_at = stamp
         WHERE bucket = p_bucket AND object_key = p_key;
    END IF;
    INSERT INTO object_parts (object_id, part_number, part_id, offset_bytes, size_bytes,
                              md5, checksums, live_copies)
    SELECT new_object_id, p.part_number, p.part_id,
           (sum(p.size_bytes) OVER (ORDER BY p.part_number) - p.size_bytes)::bigint,
           p.size_bytes, p.etag, p.checksums, p.live_copies
      FROM multipart_parts p
     WHERE p.upload_id = p_upload_id AND p.part_number = ANY (p_numbers);
    DELETE FROM multipart_parts p
     WHERE p.upload_id = p_upload_id AND p.part_number = ANY (p_numbers);
    -- Parts that the list leaves out.
    PERFORM ledger_drop_parts(p_upload_id);
    o_answer := jsonb_build_object('etag', whole_etag, 'checksums', p_checksums,
                                   'object_id', new_object_id, 'last_modified', stamp);
    UPDATE multipart_uploads
       SET state = 'completed', answer = o_answer, ended_at = clock_timestamp()
     WHERE upload_id = p_upload_id;
    outcome := 'completed';
END $$;

-- Rule 14: what an upload holds becomes garbage. The caller holds its row's lock.
CREATE OR REPLACE FUNCTION ledger_abort_locked(p_upload_id text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_drop_parts(p_upload_id);
    UPDATE multipart_uploads SET state = 'aborted', ended_at = clock_timestamp()
     WHERE upload_id = p_upload_id;
END $$;

-- Whether there was an open upload of that bucket and key to abort.
CREATE OR REPLACE FUNCTION ledger_abort(p_upload_id text, p_bucket text, p_key text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM multipart_uploads u
      WHERE u.upload_id = p_upload_id AND u.bucket = p_bucket AND u.object_key = p_key
        AND u.state = 'open' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM ledger_abort_locked(p_upload_id);
    RETURN true;
END $$;

-- Abort at most p_limit open uploads older than p_max_age, and forget ended ones whose
-- stored answer nobody is owed any more. Rebuilt ones stay until somebody decides: they
-- may be objects whose manifest was lost. Returns how many were aborted.
CREATE OR REPLACE FUNCTION ledger_expire_uploads(
    p_max_age interval, p_keep_answer interval, p_limit integer)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    stale text;
    aborted bigint := 0;
BEGIN
    FOR stale IN
        SELECT u.upload_id FROM multipart_uploads u
         WHERE u.state = 'open' AND NOT u.is_rebuilt
           AND u.created_at < clock_timestamp() - p_max_age
         ORDER BY u.created_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    LOOP
        PERFORM ledger_abort_locked(stale);
        aborted := aborted + 1;
    END LOOP;
    DELETE FROM multipart_uploads u
     WHERE u.state <> 'open' AND u.ended_at < clock_timestamp() - p_keep_answer;
    RETURN aborted;
END $$;

-- 8. Manifest copies ---------------------------------------------------------------------
--
-- What a part's backend object cannot say of itself (how parts make an object, headers
-- that do not fit) is written once more, as a small object beside them, so that a lost
-- ledger can be rebuilt. A row like any other copy's: claimed, live, garbage. Who
-- changes an object so sets manifest_wanted_at; a job writes (rules 30 and 31).

-- Take objects whose manifest is to be written, the longest due first; nobody else takes
-- them within p_hold, and it is tried again after it.
CREATE OR REPLACE FUNCTION ledger_take_manifests(p_limit integer, p_hold interval)
RETURNS SETOF objects LANGUAGE sql AS $$
    WITH due AS (
        SELECT o.bucket, o.object_key FROM objects o
         WHERE o.manifest_due_at <= now()
         ORDER BY o.manifest_due_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE objects o SET manifest_due_at = clock_timestamp() + p_hold
      FROM due WHERE o.bucket = due.bucket AND o.object_key = due.object_key
    RETURNING o.*
$$;

-- Charge and name a manifest copy, made of what the object was at p_wanted_at. outcome:
-- 'claimed', 'full' or 'superseded' (it is not what is wanted any more).
CREATE OR REPLACE FUNCTION ledger_claim_manifest(
    p_backends text[], p_bucket text, p_key text, p_opaque boolean, p_object_id text,
    p_wanted_at timestamptz, p_size bigint, p_lease interval,
    OUT outcome text, OUT o_copy_id text, OUT o_part_id text,
    OUT o_backend_name text, OUT o_backend_key text)
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM objects o
                    WHERE o.bucket = p_bucket AND o.object_key = p_key
                      AND o.object_id = p_object_id
                      AND o.manifest_wanted_at = p_wanted_at)
    THEN
        outcome := 'superseded';
        RETURN;
    END IF;
    o_backend_name := ledger_place(p_backends, p_size);
    IF o_backend_name IS NULL THEN
        outcome := 'full';
        RETURN;
    END IF;
    outcome := 'claimed';
    o_copy_id := ledger_ulid();
    o_part_id := ledger_ulid();
    o_backend_key := CASE WHEN p_opaque THEN '~/' || o_copy_id
                          ELSE p_key || '~' || o_copy_id END
                     || '.manifest';
    INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, bucket,
                                  object_key, size_bytes, state, due_at, is_manifest)
    VALUES (o_copy_id, o_part_id, o_backend_name, o_backend_key, p_bucket, p_key, p_size,
            'claimed', clock_timestamp() + p_lease, true);
END $$;

-- Rule 31: the claim becomes the object's only manifest copy. outcome: 'committed',
-- 'lost' (nothing changed) or 'superseded' (the object is another one by now, or was
-- changed, or has its manifest from another process; the claim is now abandoned).
-- Lock order: the object's row, then the claim (rule 26).
CREATE OR REPLACE FUNCTION ledger_commit_manifest(
    p_copy_id text, p_bucket text, p_key text, p_object_id text,
    p_wanted_at timestamptz, p_backend_etag text, p_version_id text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    is_wanted boolean;
BEGIN
    SELECT o.object_id = p_object_id AND o.manifest_wanted_at = p_wanted_at
      INTO is_wanted FROM objects o
      WHERE o.bucket = p_bucket AND o.object_key = p_key FOR UPDATE;
    PERFORM 1 FROM object_locations l
      WHERE l.copy_id = p_copy_id AND l.state = 'claimed' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    IF is_wanted IS NOT TRUE THEN
        UPDATE object_locations
           SET state = 'abandoned', due_at = clock_timestamp(),
               version_id = p_version_id
         WHERE copy_id = p_copy_id;
        RETURN 'superseded';
    END IF;
    PERFORM ledger_discard_manifests(p_object_id);
    UPDATE object_locations
       SET state = 'live', due_at = NULL, object_id = p_object_id,
           backend_etag = p_backend_etag, version_id = p_version_id
     WHERE copy_id = p_copy_id;
    UPDATE objects SET manifest_wanted_at = NULL, manifest_due_at = NULL
     WHERE bucket = p_bucket AND object_key = p_key;
    RETURN 'committed';
END $$;

-- 9. Buckets made at run time ----------------------------------------------------------
--
-- They belong to the access key that made them, alone. A deleted one leaves its row: who
-- has begun to write there finds it (ledger_enter_bucket), and whoever takes the name
-- next must wait until nobody can still be at work for the old owner.

-- outcome: 'created', 'owned' (it is there, and p_owner's), 'exists' (another's, or of
-- the configuration) or 'later' (another's was deleted within p_hold).
CREATE OR REPLACE FUNCTION ledger_create_bucket(
    p_bucket text, p_owner text, p_hold interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    known buckets;
BEGIN
    SELECT * INTO known FROM buckets b WHERE b.bucket = p_bucket;
    IF NOT FOUND THEN
        -- Objects without a bucket's row are somebody's, if nobody knows whose.
        IF EXISTS (SELECT 1 FROM objects o WHERE o.bucket = p_bucket) THEN
            RETURN 'exists';
        END IF;
        INSERT INTO buckets (bucket, owner, created_at)
        VALUES (p_bucket, p_owner, clock_timestamp()) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN 'created';
        END IF;
    END IF;
    SELECT * INTO known FROM buckets b WHERE b.bucket = p_bucket FOR UPDATE;
    IF known.deleted_at IS NULL THEN
        RETURN CASE WHEN known.owner = p_owner THEN 'owned' ELSE 'exists' END;
    END IF;
    IF known.owner <> p_owner AND known.deleted_at > clock_timestamp() - p_hold THEN
        RETURN 'later';
    END IF;
    UPDATE buckets
       SET owner = p_owner, created_at = clock_timestamp(), deleted_at = NULL,
           tags = NULL, cors = NULL
     WHERE bucket = p_bucket;
    RETURN 'created';
END $$;

-- outcome: 'deleted', 'not_empty' or 'no_bucket' (there is none of p_owner's).
--
-- Open uploads are no objects: they are aborted, as S3 does. Claims are abandoned, so
-- that a body under way commits nowhere, not even in a bucket made anew under the name;
-- it may still land, so its bytes are deleted twice (rule 22).
CREATE OR REPLACE FUNCTION ledger_delete_bucket(p_bucket text, p_owner text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    an_upload text;
BEGIN
    -- Waits for every claim, commit and Complete that has entered; the next ones wait.
    PERFORM 1 FROM buckets b
      WHERE b.bucket = p_bucket AND b.owner = p_owner AND b.deleted_at IS NULL
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'no_bucket';
    END IF;
    IF EXISTS (SELECT 1 FROM objects o WHERE o.bucket = p_bucket) THEN
        RETURN 'not_empty';
    END IF;
    FOR an_upload IN SELECT u.upload_id FROM multipart_uploads u
          WHERE u.bucket = p_bucket AND u.state = 'open'
          ORDER BY u.upload_id FOR UPDATE
    LOOP
        PERFORM ledger_abort_locked(an_upload);
    END LOOP;
    UPDATE object_locations
       SET state = 'abandoned', due_at = clock_timestamp(), delete_twice = true
     WHERE bucket = p_bucket AND state = 'claimed';
    UPDATE buckets SET deleted_at = clock_timestamp() WHERE bucket = p_bucket;
    RETURN 'deleted';
END $$;

-- 10. Adopted copies ----------------------------------------------------------------------
--
-- What sync takes in keeps the key that it has on its backend. That key is not unique by
-- construction: anybody may use it again. So the row keeps the backend's ETag, a delete
-- compares it, and after the delete the row stays a while as a tombstone (state
-- 'abandoned', no bytes), since a DELETE of ours may still land (rules 34 to 36).

-- What adopting would do with each object of a page: a JSON array of objects with key,
-- size_bytes, etag and, for ledger_adopt, md5, content_type, headers, user_metadata,
-- checksums, last_modified and version_id. o_outcome:
--   'imported'  a new object of that key
--   'copied'    one more copy of an object that is held on another backend; o_part_id
--   'known'     the backend's key has a row already, in some state
--   'differs'   the key is held with another size or ETag
--   'several'   it is held in several parts, of which this is none
--   'doubled'   it is held on this backend already, under another key
CREATE OR REPLACE FUNCTION ledger_adoption(p_backend text, p_bucket text, p_page jsonb)
RETURNS TABLE (o_key text, o_outcome text, o_part_id text)
LANGUAGE sql STABLE AS $$
    SELECT e.key,
           CASE WHEN EXISTS (SELECT 1 FROM object_locations l
                              WHERE l.backend_name = p_backend
                                AND l.backend_key = e.key) THEN 'known'
                WHEN o.object_id IS NULL THEN 'imported'
                WHEN o.size_bytes <> e.size_bytes OR o.etag <> e.etag THEN 'differs'
                WHEN held.parts_count <> 1 THEN 'several'
                WHEN EXISTS (SELECT 1 FROM object_locations l
                              WHERE l.part_id = held.part_id
                                AND l.backend_name = p_backend
                                AND l.state IN ('claimed', 'live')) THEN 'doubled'
                ELSE 'copied' END,
           held.part_id
      FROM jsonb_to_recordset(p_page) AS e (key text, size_bytes bigint, etag text)
      LEFT JOIN objects o ON o.bucket = p_bucket AND o.object_key = e.key
      LEFT JOIN LATERAL (SELECT count(*) AS parts_count, min(a.part_id) AS part_id
                           FROM object_parts a
                          WHERE a.object_id = o.object_id) held ON true
$$;

-- Rule 34: take a page of a backend's objects in where they are, whatever the limit.
-- o_outcome as of ledger_adoption, 'again' where somebody else was there meanwhile, or
-- 'no_bucket' where p_bucket is deleted (rule 33).
CREATE OR REPLACE FUNCTION ledger_adopt(p_backend text, p_bucket text, p_page jsonb)
RETURNS TABLE (o_key text, o_outcome text)
LANGUAGE plpgsql AS $$
BEGIN
    -- Two that adopt one key for two buckets would meet in a unique index.
    PERFORM pg_advisory_xact_lock(hashtext('ledger_adopt'), hashtext(p_backend));
    IF NOT ledger_enter_bucket(p_bucket) THEN
        RETURN QUERY SELECT e.key, 'no_bucket'::text
                       FROM jsonb_to_recordset(p_page) AS e (key text);
        RETURN;
    END IF;
    PERFORM 1 FROM objects o
      WHERE o.bucket = p_bucket
        AND o.object_key IN (SELECT e.key FROM jsonb_to_recordset(p_page)
                                                 AS e (key text))
      ORDER BY o.object_key FOR UPDATE;
    -- And their parts, of which a job may be making a copy for this very backend.
    PERFORM 1 FROM object_parts p
      WHERE p.object_id IN (SELECT o.object_id FROM objects o
                              JOIN jsonb_to_recordset(p_page) AS e (key text)
                                ON o.bucket = p_bucket AND o.object_key = e.key)
      ORDER BY p.part_id FOR UPDATE;
    RETURN QUERY
    WITH verdict AS MATERIALIZED (
        SELECT * FROM ledger_adoption(p_backend, p_bucket, p_page)),
    entry AS MATERIALIZED (
        SELECT e.*, v.o_outcome AS outcome, ledger_ulid() AS object_id,
               coalesce(v.o_part_id, ledger_ulid()) AS part_id,
               ledger_ulid() AS copy_id
          FROM jsonb_to_recordset(p_page)
            AS e (key text, size_bytes bigint, etag text, md5 text, content_type text,
                  headers jsonb, user_metadata jsonb, checksums jsonb,
                  last_modified timestamptz, version_id text)
          JOIN verdict v ON v.o_key = e.key
         WHERE v.o_outcome IN ('imported', 'copied')),
    made AS (
        INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag,
                             content_type, headers, user_metadata, checksums,
                             last_modified)
        SELECT p_bucket, e.key, e.object_id, e.size_bytes, e.etag, e.content_type,
               e.headers, e.user_metadata, e.checksums, e.last_modified
          FROM entry e WHERE e.outcome = 'imported'
         ORDER BY e.key COLLATE "C"
        ON CONFLICT DO NOTHING
        RETURNING object_key),
    parts AS (
        INSERT INTO object_parts (object_id, part_number, part_id, offset_bytes,
                                  size_bytes, md5)
        SELECT e.object_id, 1, e.part_id, 0, e.size_bytes, e.md5
          FROM entry e JOIN made m ON m.object_key = e.key),
    copies AS (
        INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key,
                                      bucket, object_key, size_bytes, state,
                                      backend_etag, version_id, is_adopted)
        SELECT e.copy_id, e.part_id, p_backend, e.key, p_bucket, e.key, e.size_bytes,
               'live', e.etag, e.version_id, true
          FROM entry e
         WHERE e.outcome = 'copied' OR e.key IN (SELECT m.object_key FROM made m)
        ON CONFLICT DO NOTHING
        RETURNING backend_key)
    SELECT v.o_key,
           CASE WHEN v.o_outcome IN ('imported', 'copied') AND c.backend_key IS NULL
                THEN 'again' ELSE v.o_outcome END
      FROM verdict v LEFT JOIN copies c ON c.backend_key = v.o_key;
END $$;

-- Rule 35: take due garbage among the adopted copies of one backend, as ledger_collect
-- does with the others, and forget tombstones that are due.
CREATE OR REPLACE FUNCTION ledger_collect_adopted(
    p_backend text, p_limit integer, p_hold interval, p_lease interval)
RETURNS TABLE (o_copy_id text, o_attempts integer, o_backend_key text,
               o_version_id text, o_backend_etag text, o_size_bytes bigint)
LANGUAGE sql AS $$
    WITH due AS (
        SELECT l.copy_id FROM object_locations l
         WHERE l.backend_name = p_backend AND l.is_adopted
           AND l.state = 'garbage' AND l.due_at <= clock_timestamp()
           AND ledger_is_settled(p_lease) AND ledger_held() IS NULL
           AND NOT EXISTS (SELECT 1 FROM read_pins r
                            WHERE r.object_id = l.object_id
                              AND r.until > clock_timestamp())
         ORDER BY l.due_at LIMIT p_limit FOR UPDATE SKIP LOCKED),
    forgotten AS (
        DELETE FROM object_locations l
         WHERE l.backend_name = p_backend AND l.is_adopted
           AND l.state = 'abandoned' AND l.due_at <= clock_timestamp())
    UPDATE object_locations l
       SET attempts = l.attempts + 1,
           due_at = clock_timestamp()
                    + least(p_hold * power(2, least(l.attempts, 20)), '1 hour')
      FROM due WHERE l.copy_id = due.copy_id
    RETURNING l.copy_id, l.attempts, l.backend_key, l.version_id, l.backend_etag,
              l.size_bytes
$$;

-- The backend holds something else under these keys: it is not ours, and nothing is
-- charged for it any more.
CREATE OR REPLACE FUNCTION ledger_let_go(p_copy_ids text[], p_attempts integer[])
RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM object_locations l
         USING unnest(p_copy_ids, p_attempts) AS d (copy_id, attempts)
         WHERE l.copy_id = d.copy_id AND l.attempts = d.attempts
           AND l.state = 'garbage' AND l.is_adopted
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- 11. Rebuilding a lost ledger ---------------------------------------------------------------
--
-- sync --rebuild first notes what the backends' objects say of themselves, then takes
-- it in key by key, once all of a key is known (rules 37 to 39).

-- Scratch: emptied when a rebuild begins and when it ends. entry is what
-- store/rebuild.py writes and reads.
CREATE TABLE IF NOT EXISTS rebuild_found (
    backend_name    text  COLLATE "C" NOT NULL,
    backend_key     text  COLLATE "C" NOT NULL,
    installation_id text  NOT NULL,
    bucket          text  COLLATE "C" NOT NULL,
    object_key      text  COLLATE "C" NOT NULL,
    entry           jsonb NOT NULL,
    PRIMARY KEY (backend_name, backend_key)
);
CREATE INDEX IF NOT EXISTS rebuild_found_key ON rebuild_found (bucket, object_key);

-- Rows of copies that were found. One whose id is taken (a person copied the backend
-- object) gets a new one.
CREATE OR REPLACE FUNCTION ledger_put_found(
    p_bucket text, p_key text, p_copies jsonb, p_grace interval)
RETURNS void LANGUAGE sql AS $$
    -- Before its copies, as everybody does (rule 26).
    SELECT 1 FROM object_parts p
      WHERE p.part_id IN (SELECT c.part_id
                            FROM jsonb_to_recordset(p_copies) AS c (part_id text))
      ORDER BY p.part_id FOR UPDATE;
    INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, bucket,
                                  object_key, size_bytes, state, due_at, backend_etag,
                                  version_id, object_id, is_manifest)
    SELECT CASE WHEN c.copy_id IS NULL
                  OR EXISTS (SELECT 1 FROM object_locations l
                              WHERE l.copy_id = c.copy_id)
                THEN ledger_ulid() ELSE c.copy_id END,
           coalesce(c.part_id, ledger_ulid()), c.backend_name, c.backend_key, p_bucket,
           p_key, c.size_bytes, c.state,
           CASE WHEN c.state = 'garbage' THEN clock_timestamp() + p_grace END,
           c.etag, c.version_id, c.object_id, c.is_manifest
      FROM jsonb_to_recordset(p_copies)
        AS c (copy_id text, part_id text, backend_name text, backend_key text,
              size_bytes bigint, state text, etag text, version_id text,
              object_id text, is_manifest boolean)
    ON CONFLICT DO NOTHING
$$;

-- An object as its backend objects and manifest tell it, in the place of p_existing.
-- Whether nobody else was there meanwhile.
CREATE OR REPLACE FUNCTION ledger_put_rebuilt(
    p_bucket text, p_key text, p_existing text, p_object jsonb, p_parts jsonb,
    p_grace interval)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gone text;
BEGIN
    IF p_existing IS NOT NULL THEN
        PERFORM ledger_discard(p_existing, p_grace);
        DELETE FROM objects o WHERE o.bucket = p_bucket AND o.object_key = p_key;
    END IF;
    INSERT INTO objects (bucket, object_key, object_id, size_bytes, etag, content_type,
                         headers, user_metadata, tags, checksums, last_modified)
    SELECT p_bucket, p_key, n.object_id, n.size_bytes, n.etag, n.content_type,
           n.headers, n.user_metadata, n.tags, n.checksums, n.last_modified
      FROM jsonb_to_record(p_object)
        AS n (object_id text, size_bytes bigint, etag text, content_type text,
              headers jsonb, user_metadata jsonb, tags jsonb, checksums jsonb,
              last_modified timestamptz)
    ON CONFLICT (bucket, object_key) DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- Parts that an earlier rebuild, without the manifest, has put into an upload.
    FOR gone IN
        WITH moved AS (
            DELETE FROM multipart_parts m
             USING jsonb_to_recordset(p_parts) AS p (part_id text)
             WHERE m.part_id = p.part_id RETURNING m.upload_id)
        SELECT DISTINCT upload_id FROM moved
    LOOP
        PERFORM ledger_abort_locked(gone);
    END LOOP;
    INSERT INTO object_parts (object_id, part_number, part_id, offset_bytes, size_bytes,
                              md5)
    SELECT p_object ->> 'object_id', p.part_number, p.part_id, p.offset_bytes,
           p.size_bytes, p.md5
      FROM jsonb_to_recordset(p_parts)
        AS p (part_number integer, part_id text, offset_bytes bigint, size_bytes bigint,
              md5 text);
    RETURN true;
END $$;

-- Parts of an upload of which no manifest tells: an open upload, which does not expire.
CREATE OR REPLACE FUNCTION ledger_put_unfinished(
    p_bucket text, p_key text, p_upload_id text, p_parts jsonb, p_grace interval)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    is_open boolean;
    copies jsonb;
BEGIN
    INSERT INTO multipart_uploads (upload_id, bucket, object_key, is_rebuilt)
    VALUES (p_upload_id, p_bucket, p_key, true) ON CONFLICT DO NOTHING;
    SELECT u.state = 'open' INTO is_open FROM multipart_uploads u
      WHERE u.upload_id = p_upload_id FOR UPDATE;
    WITH kept AS (
        INSERT INTO multipart_parts (upload_id, part_number, part_id, etag, size_bytes)
        SELECT p_upload_id, p.part_number, p.part_id, p.md5, p.size_bytes
          FROM jsonb_to_recordset(p_parts)
            AS p (part_number integer, part_id text, md5 text, size_bytes bigint)
         WHERE is_open
        ON CONFLICT DO NOTHING RETURNING part_id)
    SELECT coalesce(jsonb_agg(c.copy || jsonb_build_object('state',
                   CASE WHEN k.part_id IS NULL THEN 'garbage' ELSE 'live' END)), '[]')
      INTO copies
      FROM jsonb_to_recordset(p_parts) AS p (part_id text, copies jsonb)
     CROSS JOIN LATERAL jsonb_array_elements(p.copies) AS c (copy)
      LEFT JOIN kept k ON k.part_id = p.part_id;
    PERFORM ledger_put_found(p_bucket, p_key, copies, p_grace);
    UPDATE multipart_parts p SET live_copies = held.copies
      FROM (SELECT l.part_id, count(*) AS copies FROM object_locations l
             WHERE l.part_id IN (SELECT c.part_id FROM jsonb_to_recordset(p_parts)
                                                         AS c (part_id text))
               AND l.state = 'live'
             GROUP BY l.part_id) held
     WHERE p.part_id = held.part_id AND p.live_copies <> held.copies;
END $$;

-- Rule 39: carry out what plan/rebuild.py has decided for a page of keys, each of which
-- must still be what it has seen. o_outcome: 'done', 'again' (somebody else was there),
-- 'clash' (a part of it belongs to another key) or 'no_bucket' (deleted: rule 33).
CREATE OR REPLACE FUNCTION ledger_rebuild(p_page jsonb, p_grace interval)
RETURNS TABLE (o_bucket text, o_key text, o_outcome text)
LANGUAGE plpgsql AS $$
DECLARE
    entry record;
    upload record;
    existing text;
BEGIN
    FOR entry IN
        SELECT * FROM jsonb_to_recordset(p_page)
            AS e (bucket text, key text, seen text, object jsonb, parts jsonb,
                  copies jsonb, uploads jsonb)
         ORDER BY e.bucket COLLATE "C", e.key COLLATE "C"
    LOOP
        o_bucket := entry.bucket;
        o_key := entry.key;
        IF NOT ledger_enter_bucket(entry.bucket) THEN
            o_outcome := 'no_bucket';
            RETURN NEXT;
            CONTINUE;
        END IF;
        SELECT o.object_id INTO existing FROM objects o
          WHERE o.bucket = entry.bucket AND o.object_key = entry.key FOR UPDATE;
        IF existing IS DISTINCT FROM entry.seen THEN
            o_outcome := 'again';
            RETURN NEXT;
            CONTINUE;
        END IF;
        BEGIN
            o_outcome := 'done';
            IF entry.object IS NOT NULL
               AND NOT ledger_put_rebuilt(entry.bucket, entry.key, existing,
                                          entry.object, entry.parts, p_grace)
            THEN
                o_outcome := 'again';
            ELSE
                PERFORM ledger_put_found(entry.bucket, entry.key, entry.copies, p_grace);
                -- A manifest copy that was found beside an object that is kept is garbage.
                UPDATE objects o
                   SET manifest_wanted_at = clock_timestamp(),
                       manifest_due_at = clock_timestamp()
                 WHERE o.bucket = entry.bucket AND o.object_key = entry.key
                   AND strpos(o.etag, '-') > 0 AND o.manifest_wanted_at IS NULL
                   AND NOT EXISTS (SELECT 1 FROM object_locations l
                                    WHERE l.object_id = o.object_id
                                      AND l.is_manifest AND l.state = 'live');
                FOR upload IN SELECT * FROM jsonb_to_recordset(entry.uploads)
                                  AS u (upload_id text, parts jsonb)
                LOOP
                    PERFORM ledger_put_unfinished(entry.bucket, entry.key,
                                                  upload.upload_id, upload.parts,
                                                  p_grace);
                END LOOP;
            END IF;
        EXCEPTION WHEN unique_violation THEN
            o_outcome := 'clash';
        END;
        RETURN NEXT;
    END LOOP;
END $$;

-- 12. Replicas and moves -----------------------------------------------------------------
--
-- How many live copies a part has that nobody knows to be bad is in its row, true by
-- construction like I3, and so is found by an index. A copy of a copy is a claim like any other. Whoever turns a live
-- copy to garbage while its object stays holds the lock on the part's row, and leaves
-- another live copy (rules 40 to 43).

-- Counted anew under the lock on the part's row, so in whatever order copies and parts
-- come about. Planned once, for an index, however little the tables hold by then.
CREATE OR REPLACE FUNCTION ledger_count_copies() RETURNS trigger
LANGUAGE plpgsql SET enable_seqscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    counted text := CASE WHEN TG_OP = 'DELETE' THEN OLD.part_id ELSE NEW.part_id END;
    recorded integer;
    copies integer;
BEGIN
    SELECT p.live_copies INTO recorded FROM object_parts p
      WHERE p.part_id = counted FOR UPDATE;
    IF FOUND THEN
        -- A statement of its own: it sees what the lock has waited for.
        SELECT count(*) INTO copies FROM object_locations l
          WHERE l.part_id = counted AND l.state = 'live' AND l.quarantined_at IS NULL;
        IF copies <> recorded THEN
            UPDATE object_parts p SET live_copies = copies WHERE p.part_id = counted;
        END IF;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER count_inserted AFTER INSERT ON object_locations
    FOR EACH ROW WHEN (NEW.state = 'live' AND NOT NEW.is_manifest)
    EXECUTE FUNCTION ledger_count_copies();
CREATE OR REPLACE TRIGGER count_deleted AFTER DELETE ON object_locations
    FOR EACH ROW WHEN (OLD.state = 'live' AND NOT OLD.is_manifest)
    EXECUTE FUNCTION ledger_count_copies();
CREATE OR REPLACE TRIGGER count_updated AFTER UPDATE OF state ON object_locations
    FOR EACH ROW WHEN ((OLD.state = 'live') <> (NEW.state = 'live')
                       AND NOT NEW.is_manifest)
    EXECUTE FUNCTION ledger_count_copies();
CREATE OR REPLACE TRIGGER count_quarantined
    AFTER UPDATE OF quarantined_at ON object_locations
    FOR EACH ROW WHEN (NEW.state = 'live' AND NOT NEW.is_manifest
                       AND (OLD.quarantined_at IS NULL) <> (NEW.quarantined_at IS NULL))
    EXECUTE FUNCTION ledger_count_copies();
-- Who makes a part and knows the number gives it, which saves a version of the row.
CREATE OR REPLACE TRIGGER count_copies AFTER INSERT ON object_parts
    FOR EACH ROW WHEN (NEW.live_copies = 0)
    EXECUTE FUNCTION ledger_count_copies();

-- Take parts with too few live copies, the fewest first, then the longest due; nobody
-- else takes them within p_hold. Without a live copy there is nothing to copy.
CREATE OR REPLACE FUNCTION ledger_take_replicas(
    p_factor integer, p_limit integer, p_hold interval)
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    taken text[];
    count_left integer := p_limit;
BEGIN
    FOR copies IN 1 .. p_factor - 1 LOOP
        EXIT WHEN count_left <= 0;
        WITH due AS (
            SELECT p.part_id FROM object_parts p
             WHERE p.live_copies = copies AND p.replica_due_at <= clock_timestamp()
             ORDER BY p.replica_due_at LIMIT count_left FOR UPDATE SKIP LOCKED),
        held AS (
            UPDATE object_parts p SET replica_due_at = clock_timestamp() + p_hold
              FROM due WHERE p.part_id = due.part_id RETURNING p.part_id)
        SELECT coalesce(array_agg(h.part_id), '{}') INTO taken FROM held h;
        count_left := count_left - cardinality(taken);
        RETURN QUERY SELECT unnest(taken);
    END LOOP;
END $$;

-- Rule 40: charge and name one more copy of a part, on the first of p_backends with room
-- that has none. p_factor: as many copies as there are to be, those under way counted;
-- NULL for a move. outcome: 'claimed', 'enough', 'held' (each of them has a copy), 'full'
-- or 'gone'.
CREATE OR REPLACE FUNCTION ledger_claim_replica(
    p_backends text[], p_part_id text, p_factor integer, p_opaque boolean,
    p_suffix text, p_lease interval,
    OUT outcome text, OUT o_copy_id text, OUT o_backend_name text,
    OUT o_backend_key text)
LANGUAGE plpgsql AS $$
DECLARE
    part object_parts;
    source object_locations;
    holders text[];
    good bigint;
    candidates text[];
BEGIN
    SELECT * INTO part FROM object_parts p WHERE p.part_id = p_part_id FOR UPDATE;
    SELECT * INTO source FROM object_locations l
      WHERE l.part_id = p_part_id AND l.state = 'live' LIMIT 1;
    IF part.part_id IS NULL OR source.copy_id IS NULL THEN
        outcome := 'gone';
        RETURN;
    END IF;
    SELECT array_agg(l.backend_name), count(*) FILTER (WHERE l.quarantined_at IS NULL)
      INTO holders, good FROM object_locations l
      WHERE l.part_id = p_part_id AND l.state IN ('claimed', 'live');
    IF good >= p_factor THEN
        outcome := 'enough';
        RETURN;
    END IF;
    SELECT array_agg(b.name ORDER BY b.place) INTO candidates
      FROM unnest(p_backends) WITH ORDINALITY AS b (name, place)
     WHERE b.name <> ALL (holders);
    IF candidates IS NULL THEN
        outcome := 'held';
        RETURN;
    END IF;
    o_backend_name := ledger_place(candidates, part.size_bytes);
    IF o_backend_name IS NULL THEN
        outcome := 'full';
        RETURN;
    END IF;
    outcome := 'claimed';
    o_copy_id := ledger_ulid();
    o_backend_key := CASE WHEN p_opaque THEN '~/' || o_copy_id
                          ELSE source.object_key || '~' || o_copy_id END || p_suffix;
    INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, bucket,
                                  object_key, size_bytes, state, due_at)
    VALUES (o_copy_id, p_part_id, o_backend_name, o_backend_key, source.bucket,
            source.object_key, part.size_bytes, 'claimed', clock_timestamp() + p_lease);
END $$;

-- Rule 41: the claim becomes one more live copy of its part, if the part is still one of
-- an object and the copy that it was made of still live. p_moves: that one becomes
-- garbage. outcome: 'committed', 'lost' (nothing changed) or 'superseded' (the claim is
-- now abandoned). Lock order: the object's row, if it may be written to; the part's; its
-- copies.
--
-- p_needs_manifest: the new copy does not tell all that is recorded of its object, so
-- that one is wanted, unless it is there already.
CREATE OR REPLACE FUNCTION ledger_commit_replica(
    p_copy_id text, p_part_id text, p_source_copy_id text, p_backend_etag text,
    p_version_id text, p_moves boolean, p_needs_manifest boolean, p_grace interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    part object_parts;
    is_wanted boolean;
BEGIN
    IF p_needs_manifest THEN
        PERFORM 1 FROM objects o
           JOIN object_parts p ON p.object_id = o.object_id
          WHERE p.part_id = p_part_id FOR UPDATE OF o;
    END IF;
    SELECT * INTO part FROM object_parts p WHERE p.part_id = p_part_id FOR UPDATE;
    PERFORM 1 FROM object_locations l
      WHERE l.copy_id = p_source_copy_id AND l.part_id = p_part_id AND l.state = 'live'
        FOR UPDATE;
    is_wanted := FOUND AND part.part_id IS NOT NULL;
    PERFORM 1 FROM object_locations l
      WHERE l.copy_id = p_copy_id AND l.part_id = p_part_id AND l.state = 'claimed'
        FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'lost';
    END IF;
    IF NOT is_wanted THEN
        UPDATE object_locations
           SET state = 'abandoned', due_at = clock_timestamp(),
               version_id = p_version_id
         WHERE copy_id = p_copy_id;
        RETURN 'superseded';
    END IF;
    UPDATE object_locations
       SET state = 'live', due_at = NULL, backend_etag = p_backend_etag,
           version_id = p_version_id
     WHERE copy_id = p_copy_id;
    UPDATE objects o
       SET manifest_wanted_at = clock_timestamp(), manifest_due_at = clock_timestamp()
     WHERE p_needs_manifest
       AND o.object_id = part.object_id AND o.manifest_wanted_at IS NULL
       AND NOT EXISTS (SELECT 1 FROM object_locations l
                        WHERE l.object_id = o.object_id AND l.is_manifest
                          AND l.state = 'live');
    IF p_moves THEN
        UPDATE object_locations
           SET state = 'garbage', object_id = part.object_id,
               due_at = clock_timestamp() + p_grace
         WHERE copy_id = p_source_copy_id;
    END IF;
    RETURN 'committed';
END $$;

-- Rule 42: of at most p_limit parts with more than p_factor live copies, those beyond
-- become garbage; the ones on the first of p_keep stay. Returns how many copies went.
CREATE OR REPLACE FUNCTION ledger_trim_copies(
    p_factor integer, p_keep text[], p_limit integer, p_grace interval)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    part object_parts;
    gone bigint;
    total bigint := 0;
BEGIN
    IF p_factor < 1 THEN
        RAISE EXCEPTION 'every part keeps a copy, not %', p_factor;
    END IF;
    -- Catalogues are on two backends, whatever the factor (rule 52).
    FOR part IN SELECT * FROM object_parts p WHERE p.live_copies > p_factor
                   AND NOT EXISTS (SELECT 1 FROM objects o
                                    WHERE o.object_id = p.object_id
                                      AND o.bucket = '~catalogue')
                 ORDER BY p.live_copies, p.replica_due_at LIMIT p_limit
                   FOR UPDATE SKIP LOCKED
    LOOP
        -- Counted again, under the lock on the part.
        WITH ranked AS (
            SELECT l.copy_id,
                   row_number() OVER (
                       ORDER BY l.quarantined_at IS NOT NULL,
                                array_position(p_keep, l.backend_name) NULLS LAST,
                                l.copy_id) AS place
              FROM object_locations l
             WHERE l.part_id = part.part_id AND l.state = 'live')
        UPDATE object_locations l
           SET state = 'garbage', object_id = part.object_id,
               due_at = clock_timestamp() + p_grace
          FROM ranked r
         WHERE l.copy_id = r.copy_id AND l.state = 'live' AND r.place > p_factor;
        GET DIAGNOSTICS gone = ROW_COUNT;
        total := total + gone;
    END LOOP;
    RETURN total;
END $$;

-- 13. Jobs -------------------------------------------------------------------------------

-- What each kind of background work did last, whichever process did it. taken_by says who
-- is at work, for work that would only be wasted where two do it; no correctness rests
-- on it, and it runs out by itself.
CREATE TABLE IF NOT EXISTS jobs (
    job_name    text        COLLATE "C" PRIMARY KEY,
    process     text,
    started_at  timestamptz,
    seconds     double precision,
    is_good     boolean,
    result      text,
    next_run_at timestamptz,
    taken_by    text,
    taken_until timestamptz
);

-- 14. Traffic ----------------------------------------------------------------------------

-- Requests by the minute, of all processes together, for the status page. No correctness
-- rests on it: what a process had counted when it died is missing.
CREATE TABLE IF NOT EXISTS traffic (
    minute        timestamptz PRIMARY KEY,
    requests      bigint NOT NULL,
    client_errors bigint NOT NULL,
    server_errors bigint NOT NULL
);

-- 15. Draining ---------------------------------------------------------------------------

-- Rule 45: a live copy becomes garbage where its part has p_factor others. Returns whether
-- it did.
CREATE OR REPLACE FUNCTION ledger_drop_copy(
    p_copy_id text, p_part_id text, p_factor integer, p_grace interval)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part object_parts;
    others bigint;
BEGIN
    IF p_factor < 1 THEN
        RAISE EXCEPTION 'every part keeps a copy, not %', p_factor;
    END IF;
    SELECT * INTO part FROM object_parts p WHERE p.part_id = p_part_id FOR UPDATE;
    SELECT count(*) INTO others FROM object_locations l
      WHERE l.part_id = p_part_id AND l.state = 'live' AND l.copy_id <> p_copy_id
        AND l.quarantined_at IS NULL;
    IF part.part_id IS NULL OR others < p_factor THEN
        RETURN false;
    END IF;
    UPDATE object_locations
       SET state = 'garbage', object_id = part.object_id,
           due_at = clock_timestamp() + p_grace
     WHERE copy_id = p_copy_id AND part_id = p_part_id AND state = 'live';
    RETURN FOUND;
END $$;

-- 16. Sweeping ---------------------------------------------------------------------------

-- Rule 46: keys of ours that the ledger does not know become garbage, charged like all
-- else, unless something holds that up (rule 24). p_page: a JSON array of objects with
-- key, size_bytes, etag, version_id, bucket, object_key, and the ULID in the key. Returns
-- the keys that did: a key or a ULID with a row, whatever its state, is passed over, and so
-- is what a rebuild has noted and is about to take in. The new row has an id of its own: a
-- writer that asks after its claim (rule 10) would take garbage of that id for a commit.
CREATE OR REPLACE FUNCTION ledger_sweep(p_backend text, p_page jsonb, p_grace interval)
RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    IF ledger_held() IS NOT NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    INSERT INTO object_locations (copy_id, part_id, backend_name, backend_key, bucket,
                                  object_key, size_bytes, state, due_at, backend_etag,
                                  version_id)
    SELECT ledger_ulid(), ledger_ulid(), p_backend, e.key, e.bucket, e.object_key,
           e.size_bytes, 'garbage', clock_timestamp() + p_grace, e.etag, e.version_id
      FROM jsonb_to_recordset(p_page)
        AS e (key text, size_bytes bigint, etag text, version_id text, bucket text,
              object_key text, ulid text)
     WHERE NOT EXISTS (SELECT 1 FROM object_locations l WHERE l.copy_id = e.ulid)
       AND NOT EXISTS (SELECT 1 FROM rebuild_found f
                        WHERE f.backend_name = p_backend AND f.backend_key = e.key)
     ORDER BY e.key COLLATE "C"
    ON CONFLICT DO NOTHING
    RETURNING backend_key;
END $$;

-- Rule 47: a live copy whose bytes are gone, or are not what they were, is one no more,
-- if its part has another, or p_verified, which was read just now. outcome: 'lost' (it is garbage now), 'last' (it is the only one,
-- and stays), 'rewritten' (a manifest copy: another one is wanted), 'upload' (of a part of
-- an open upload: it stays) or 'gone' (it is not live, or nothing may be deleted).
-- Lock order: object or part, the part's copies.
CREATE OR REPLACE FUNCTION ledger_lose_copy(
    p_copy_id text, p_verified text, p_grace interval)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    lost object_locations;
    part object_parts;
BEGIN
    SELECT * INTO lost FROM object_locations l
      WHERE l.copy_id = p_copy_id AND l.state = 'live';
    IF NOT FOUND OR ledger_held() IS NOT NULL THEN
        RETURN 'gone';
    END IF;
    IF lost.is_manifest THEN
        UPDATE objects o
           SET manifest_wanted_at = clock_timestamp(),
               manifest_due_at = clock_timestamp()
         WHERE o.object_id = lost.object_id AND o.manifest_wanted_at IS NULL;
        RETURN 'rewritten';
    END IF;
    SELECT * INTO part FROM object_parts p WHERE p.part_id = lost.part_id FOR UPDATE;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT 1 FROM multipart_parts m
                                  WHERE m.part_id = lost.part_id)
                    THEN 'upload' ELSE 'gone' END;
    END IF;
    -- A statement of its own: it sees what the lock has waited for.
    IF NOT EXISTS (SELECT 1 FROM object_locations l
                    WHERE l.part_id = part.part_id AND l.state = 'live'
                      AND l.copy_id <> p_copy_id
                      AND l.copy_id = coalesce(p_verified, l.copy_id))
    THEN
        RETURN 'last';
    END IF;
    UPDATE object_locations
       SET state = 'garbage', object_id = part.object_id,
           due_at = clock_timestamp() + p_grace
     WHERE copy_id = p_copy_id AND state = 'live';
    RETURN CASE WHEN FOUND THEN 'lost' ELSE 'gone' END;
END $$;

-- 17. Scrubbing --------------------------------------------------------------------------

-- How far each backend's copies have been read: in the order of their ids, lap by lap. Who
-- comes next was written, or read, the longest ago.
CREATE TABLE IF NOT EXISTS scrubs (
    backend_name  text        COLLATE "C" PRIMARY KEY
                  REFERENCES backend_quotas ON DELETE CASCADE,
    after_copy_id text        COLLATE "C" NOT NULL DEFAULT '',
    lap_began_at  timestamptz NOT NULL DEFAULT now(),
    lap_copies    bigint      NOT NULL DEFAULT 0,
    lap_bytes     bigint      NOT NULL DEFAULT 0
);

-- Rule 49: a live copy is known to be bad from now on; p_word NULL: it is good after all.
-- Whether that changed anything. The count of good copies follows, by a trigger, so the
-- part's row is locked first, as always.
CREATE OR REPLACE FUNCTION ledger_quarantine(p_copy_id text, p_word text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM object_parts p
      WHERE p.part_id = (SELECT l.part_id FROM object_locations l
                          WHERE l.copy_id = p_copy_id) FOR UPDATE;
    UPDATE object_locations
       SET quarantined_at = CASE WHEN p_word IS NOT NULL THEN clock_timestamp() END,
           quarantine_word = p_word
     WHERE copy_id = p_copy_id AND state = 'live' AND NOT is_manifest
       AND (quarantined_at IS NULL) = (p_word IS NOT NULL);
    RETURN FOUND;
END $$;

-- Rule 48: a copy has been read. p_seconds: what of the budget's time that took up; time
-- that was not used is saved up for p_interval at the most.
CREATE OR REPLACE FUNCTION ledger_note_scrub(
    p_backend text, p_copy_id text, p_bytes bigint, p_seconds interval,
    p_interval interval)
RETURNS void LANGUAGE sql AS $$
    UPDATE installation
       SET scrub_paid_until = greatest(scrub_paid_until, clock_timestamp() - p_interval)
                              + p_seconds;
    INSERT INTO scrubs (backend_name, after_copy_id, lap_began_at, lap_copies, lap_bytes)
    VALUES (p_backend, p_copy_id, clock_timestamp(), 1, p_bytes)
    ON CONFLICT (backend_name) DO UPDATE
       SET after_copy_id = excluded.after_copy_id,
           lap_began_at = CASE WHEN scrubs.after_copy_id = '' THEN excluded.lap_began_at
                               ELSE scrubs.lap_began_at END,
           lap_copies = CASE WHEN scrubs.after_copy_id = '' THEN 0
                             ELSE scrubs.lap_copies END + 1,
           lap_bytes = CASE WHEN scrubs.after_copy_id = '' THEN 0
                            ELSE scrubs.lap_bytes END + p_bytes
$$;

-- 18. Usage budgets ----------------------------------------------------------------------

-- Rule 51: what backends were used for, by month in UTC, of those kinds that have a limit.
-- Without a reference to backend_quotas: a backend that is removed and comes back has been
-- used all the same.
CREATE TABLE IF NOT EXISTS backend_usage (
    backend_name text   COLLATE "C" NOT NULL,
    month        date   NOT NULL,
    kind         text   COLLATE "C" NOT NULL,
    -- Used, or reserved by a process.
    amount       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (backend_name, month, kind)
);

CREATE OR REPLACE FUNCTION ledger_usage_month()
RETURNS date LANGUAGE sql VOLATILE AS $$
    SELECT date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC')::date
$$;

-- Rule 51: count p_amount, whatever the limit; p_month NULL: this one. What is returned is
-- below 0.
CREATE OR REPLACE FUNCTION ledger_add_usage(
    p_backend text, p_month date, p_kind text, p_amount bigint)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO backend_usage AS u (backend_name, month, kind, amount)
    VALUES (p_backend, coalesce(p_month, ledger_usage_month()), p_kind, p_amount)
    ON CONFLICT (backend_name, month, kind)
    DO UPDATE SET amount = u.amount + excluded.amount
$$;

-- Rule 51: reserve from p_least to p_most of what is left of p_limit, or nothing. The less
-- is left, the smaller the share of one process.
CREATE OR REPLACE FUNCTION ledger_reserve_usage(
    p_backend text, p_kind text, p_least bigint, p_most bigint, p_limit bigint,
    OUT granted bigint, OUT room bigint, OUT usage_month date, OUT seconds float8)
LANGUAGE plpgsql AS $$
DECLARE
    used bigint;
BEGIN
    usage_month := ledger_usage_month();
    INSERT INTO backend_usage (backend_name, month, kind)
    VALUES (p_backend, usage_month, p_kind) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        DELETE FROM backend_usage u
         WHERE u.backend_name = p_backend AND u.month < usage_month - interval '13 months';
    END IF;
    SELECT u.amount INTO used FROM backend_usage u
     WHERE u.backend_name = p_backend AND u.month = usage_month AND u.kind = p_kind
       FOR UPDATE;
    room := greatest(p_limit - used, 0);
    granted := CASE WHEN room < p_least THEN 0
                    ELSE least(p_most, greatest(p_least, room / 8)) END;
    room := room - granted;
    UPDATE backend_usage u SET amount = u.amount + granted
     WHERE u.backend_name = p_backend AND u.month = usage_month AND u.kind = p_kind;
    seconds := extract(epoch FROM
        ((usage_month + interval '1 month') AT TIME ZONE 'UTC') - clock_timestamp());
END $$;
