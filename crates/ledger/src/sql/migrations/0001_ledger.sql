-- Texts and 64-bit integers only, so that SQLite and PostgreSQL read the same statements. Times are
-- milliseconds since 1970, digests are base64url, yes and no are 1 and 0.

-- Numbers that are given in the order of commits: who takes one holds the row until then.
CREATE TABLE counters (
    name TEXT NOT NULL PRIMARY KEY,
    count BIGINT NOT NULL
);
INSERT INTO counters (name, count) VALUES ('audit', 0), ('revocations', 0);

CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY,
    secret TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    last_used_at BIGINT
);
CREATE INDEX keys_by_owner ON keys (owner, id);

CREATE TABLE users (
    subject TEXT NOT NULL PRIMARY KEY,
    is_active BIGINT NOT NULL,
    scopes TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE tickets (
    hash TEXT NOT NULL PRIMARY KEY,
    subject TEXT NOT NULL,
    route TEXT NOT NULL,
    origin TEXT,
    identity TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX tickets_by_subject ON tickets (subject, expires_at);
CREATE INDEX tickets_by_expiry ON tickets (expires_at);

CREATE TABLE revocations (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    issued_before BIGINT,
    cause TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    note TEXT NOT NULL,
    forget_at BIGINT,
    withdrawn_at BIGINT
);

CREATE TABLE gates (
    id TEXT NOT NULL PRIMARY KEY,
    lease_until BIGINT NOT NULL
);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    gate TEXT NOT NULL,
    route TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer TEXT,
    credential_id TEXT,
    key_id TEXT,
    resource TEXT,
    address TEXT,
    opened_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX sessions_by_subject ON sessions (subject, id);
CREATE INDEX sessions_by_route ON sessions (route, id);
CREATE INDEX sessions_by_gate ON sessions (gate, id);
CREATE INDEX sessions_by_resource ON sessions (resource);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE rates (
    meter TEXT NOT NULL PRIMARY KEY,
    due_us BIGINT NOT NULL
);
CREATE INDEX rates_by_due ON rates (due_us);

CREATE TABLE logins (
    hash TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    issuer TEXT NOT NULL,
    sid TEXT,
    identity TEXT NOT NULL,
    id_token TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX logins_by_subject ON logins (subject, id);
CREATE INDEX logins_by_sid ON logins (sid);
CREATE INDEX logins_by_expiry ON logins (expires_at);

CREATE TABLE login_states (
    hash TEXT NOT NULL PRIMARY KEY,
    nonce TEXT NOT NULL,
    verifier TEXT NOT NULL,
    return_path TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX login_states_by_expiry ON login_states (expires_at);

CREATE TABLE audit (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    gate TEXT NOT NULL,
    route TEXT,
    protocol TEXT,
    subject TEXT,
    issuer TEXT,
    credential_id TEXT,
    key_id TEXT,
    session TEXT,
    outcome TEXT NOT NULL,
    rule BIGINT,
    detail TEXT,
    code BIGINT,
    status BIGINT,
    address TEXT,
    path TEXT,
    duration_ms BIGINT,
    bytes_up BIGINT,
    bytes_down BIGINT,
    messages_up BIGINT,
    messages_down BIGINT,
    actor TEXT
);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_subject ON audit (subject, at, id);
CREATE INDEX audit_by_session ON audit (session, at, id);
