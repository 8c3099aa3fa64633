-- Under which names relays know the hosts that dial from here.
CREATE TABLE enrolments (
    relay TEXT NOT NULL,
    account TEXT NOT NULL,
    name TEXT NOT NULL,
    server_id TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    enrolled_at BIGINT NOT NULL,
    PRIMARY KEY (relay, account, name)
);
