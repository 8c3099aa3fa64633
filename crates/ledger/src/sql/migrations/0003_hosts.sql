-- Machines that dial, and who may reach them.
CREATE TABLE hosts (
    id TEXT NOT NULL PRIMARY KEY,
    environment TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    installation TEXT,
    os TEXT NOT NULL,
    arch TEXT NOT NULL,
    version TEXT NOT NULL,
    token TEXT UNIQUE,
    token_expires_at BIGINT,
    enrolled_at BIGINT NOT NULL,
    seen_at BIGINT,
    revoked_at BIGINT
);
CREATE UNIQUE INDEX hosts_by_name ON hosts (account, name);

CREATE TABLE pairings (
    code TEXT NOT NULL PRIMARY KEY,
    manual_code TEXT,
    host TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    claimed_at BIGINT
);
CREATE INDEX pairings_by_manual_code ON pairings (manual_code);
CREATE INDEX pairings_by_host ON pairings (host);
CREATE INDEX pairings_by_expiry ON pairings (expires_at);

CREATE TABLE devices (
    id TEXT NOT NULL PRIMARY KEY,
    host TEXT NOT NULL,
    account TEXT NOT NULL,
    display_name TEXT,
    device_type TEXT,
    platform TEXT,
    os_version TEXT,
    device_model TEXT,
    app_version TEXT,
    paired_at BIGINT NOT NULL,
    seen_at BIGINT
);
CREATE UNIQUE INDEX devices_by_host ON devices (host, account);
