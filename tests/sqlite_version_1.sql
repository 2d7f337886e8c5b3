-- A file as schema version 1 wrote it (sqlite3's dump): one record of every kind.
BEGIN TRANSACTION;
CREATE TABLE access_tokens (
        digest BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL,
        scope TEXT NOT NULL,
        issued_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "access_tokens" VALUES(X'0F37EB92FCE6B77648F5B662D531F25793DE4861BEF6730726F1F0ADEE22338E','grant','user user:write',1800000000,1800003600);
CREATE TABLE accounts (
        subject TEXT PRIMARY KEY,
        username TEXT NOT NULL,
        folded_username TEXT NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        name TEXT NOT NULL,
        email TEXT NOT NULL,
        roles TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        disabled_at INTEGER,
        last_sign_in_at INTEGER
    ) STRICT
    ;
INSERT INTO "accounts" VALUES('ada','ada','ada','$argon2id$1','Ada','ada@example.com','["user"]',1800000000,NULL,NULL);
CREATE TABLE bans (
        digest BLOB PRIMARY KEY,
        client_name TEXT NOT NULL,
        banned_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT
    ;
INSERT INTO "bans" VALUES(X'AE448AC86C4E8E4DEC645729708EF41873AE79C6DFF84EFF73360989487F08E5','Claude',1800000000,'it misbehaved');
CREATE TABLE codes (
        digest BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL,
        client_id TEXT NOT NULL,
        redirect_uri TEXT NOT NULL,
        code_challenge TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        is_spent INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "codes" VALUES(X'1F6E4B73D4A054676BD2F4E0B697DEC6304C7A2985383794B7847529DF5B771E','grant','client_eyJuIjoiQ2xhdWRlIn0.c2VhbA','http://127.0.0.1:33418/callback','E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',1800000060,1);
CREATE TABLE events (
        event INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        subject TEXT NOT NULL,
        client_id TEXT,
        grant_id TEXT,
        address TEXT,
        correlation_id TEXT,
        reason TEXT
    ) STRICT
    ;
INSERT INTO "events" VALUES(1,1800000000,'sign_in','ada',NULL,NULL,'192.0.2.1','correlation',NULL);
CREATE TABLE grants (
        grant_id TEXT PRIMARY KEY,
        subject TEXT NOT NULL,
        client_id TEXT NOT NULL,
        client_name TEXT NOT NULL,
        redirect_uri TEXT NOT NULL,
        resource TEXT NOT NULL,
        scope TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        ends_at INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        rotated_at INTEGER NOT NULL,
        revoked_at INTEGER
    ) STRICT
    ;
INSERT INTO "grants" VALUES('grant','ada','client_eyJuIjoiQ2xhdWRlIn0.c2VhbA','Claude','http://127.0.0.1:33418/callback','https://mcp.example.com/mcp','user user:write',1800000000,1802592000,1807776000,1,1800000000,NULL);
CREATE TABLE sessions (
        digest BLOB PRIMARY KEY,
        subject TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        signed_in_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "sessions" VALUES(X'3F3AF1ECEBBD1410AB417EC0D27BBFCB5D340E177AE159B59FC8626C2DFD9175','ada',1800000000,1800028800);
CREATE TABLE spent (
        digest BLOB PRIMARY KEY,
        expires_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "spent" VALUES(X'07397D633F25A7101990A75864AE03D5A3B9AC07C4ED6ACCBC52CBFD7D7C13B4',1800000060);
CREATE TABLE uses (
        grant_id TEXT PRIMARY KEY REFERENCES grants ON DELETE CASCADE,
        calls INTEGER NOT NULL,
        day INTEGER NOT NULL,
        calls_on_day INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    ;
INSERT INTO "uses" VALUES('grant',3,20833,2,1800000000);
CREATE INDEX sessions_by_subject ON sessions (subject);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);
CREATE INDEX spent_by_expiry ON spent (expires_at);
CREATE INDEX grants_by_subject ON grants (subject);
CREATE INDEX grants_by_client ON grants (client_id);
CREATE INDEX grants_by_expiry ON grants (expires_at);
CREATE INDEX codes_by_expiry ON codes (expires_at);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);
CREATE INDEX events_by_subject ON events (subject);
PRAGMA user_version = 1;
PRAGMA application_id = 1279738196;
COMMIT;
