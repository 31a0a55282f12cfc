-- What devices measured: no events, no chain, nothing anybody's safety rests on. Schema version 1 (PRAGMA user_version).
-- A file of its own, so that no measurement ever stands before an alarm at the journal's writer. WAL, synchronous NORMAL:
-- a power cut may cost the last minutes.

CREATE TABLE measurement (
    -- When it was heard, in ms since 1970.
    at_ms INTEGER NOT NULL,
    -- Which device.
    device TEXT NOT NULL,
    -- What was measured, by the decoder's name.
    measure TEXT NOT NULL,
    -- In thousandths of the unit.
    value_milli INTEGER NOT NULL,
    -- As on a display; empty for pure numbers.
    unit TEXT NOT NULL,
    -- Whether the hub's clock was trusted then.
    trusted INTEGER NOT NULL CHECK (trusted IN (0, 1)),
    PRIMARY KEY (at_ms, device, measure)
) STRICT, WITHOUT ROWID;
