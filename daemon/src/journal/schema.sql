-- The journal: every event, in order, as the bytes that were hashed. Schema version 1 (PRAGMA user_version).
-- Set before the first table: page_size 4096, auto_vacuum INCREMENTAL. Then: WAL, synchronous FULL, secure_delete ON.
-- Numbered upgrades stand beside this file; an upgraded file has the same schema as a fresh one (tested).

CREATE TABLE event (
    -- Rises whenever a journal is begun or restored; also in the file `epoch`, which outlives this one.
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    -- From 1 without gaps within the epoch (rows salvaged from a damaged journal may leave gaps in an older epoch).
    seq INTEGER NOT NULL CHECK (seq >= 1),
    -- 0 alarm, 1 fault, 2 access, 3 state, 4 test, 5 audit: the order in which the centre must hear.
    class INTEGER NOT NULL CHECK (class BETWEEN 0 AND 5),
    -- RFC 8785 JSON of the event without `hash`, `personal` replaced by `personal_digest`: what was hashed.
    body BLOB NOT NULL,
    -- SHA-256 of body, 32 bytes.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- The outbox asks for the next events of one class.
CREATE INDEX event_class ON event (class, epoch, seq);

-- Names and free text about people, apart from the events so that they can be erased; the event keeps their digest.
CREATE TABLE personal (
    -- The event they belong to.
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- RFC 8785 JSON with its salt.
    body BLOB NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- What the centre has signed for: one row per epoch, made when the epoch begins.
CREATE TABLE receipt (
    epoch INTEGER PRIMARY KEY,
    -- It durably holds every seq up to and including this one.
    upto INTEGER NOT NULL,
    -- The signed text that says so (compact JWS); empty before the first.
    jws TEXT NOT NULL
) STRICT;

-- Single events it has signed for above that, while an earlier one is still on its way.
CREATE TABLE receipt_above (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- What the hub knew after a certain event, so that a start need not replay a year. The last two are kept.
CREATE TABLE snapshot (
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    -- Version of the state's shape; another version is passed over and the journal replayed.
    version INTEGER NOT NULL,
    -- The state as RFC 8785 JSON.
    state BLOB NOT NULL,
    -- SHA-256 of state, 32 bytes.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- Where rows were pruned: everything up to and including this place is gone, the centre had signed for all of it.
CREATE TABLE anchor (
    epoch INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    -- The hash of the last pruned event: the next one's `prev`.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- Ed25519 by the hub's key over `vakt-anchor/1 ‖ epoch ‖ seq ‖ hash` (numbers 8 bytes big-endian).
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;
