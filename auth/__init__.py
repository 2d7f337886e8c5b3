"""The OAuth 2.1 authorization server.

Which file implements what:

endpoints/metadata.py        RFC 8414            what this server offers
endpoints/registration.py    RFC 7591            dynamic client registration
endpoints/authorization.py   OAuth 2.1 §4.1.1–2  the authorization request and its answer
endpoints/sign_in.py         OAuth 2.1 §3.1      who the person is
endpoints/consent.py         OAuth 2.1 §4.1.1    what the person allows
endpoints/token.py           OAuth 2.1 §3.2      the token endpoint; one file a grant in grants/
endpoints/introspection.py   RFC 7662
endpoints/revocation.py      RFC 7009
client_authentication.py     OAuth 2.1 §2.4      who is calling
clients.py                   RFC 7591 §A.5.2     who a client_id is; sealed registrations
client_id_metadata.py        draft-ietf-oauth-client-id-metadata-document
client_assertion.py          RFC 7523 §3         private_key_jwt
redirect_uris.py             OAuth 2.1 §2.3.1, RFC 8252 §7.3
pkce.py                      RFC 7636
scopes.py                    RFC 6749 §3.3
resources.py                 RFC 8707
tokens.py                    codes, access tokens and refresh families
limits.py                    RFC 6585 §4         how often what may be tried
password_attempts.py         OAuth 2.1 §7        guessing, without locking anybody out
store/                       what is remembered
"""
