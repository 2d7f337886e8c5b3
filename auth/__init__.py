"""The OAuth 2.1 authorization server.

Which file implements what:

endpoints/metadata.py        RFC 8414            what this server offers
endpoints/registration.py    RFC 7591            dynamic client registration
endpoints/authorization.py   OAuth 2.1 §4.1.1–2  the authorization endpoint
endpoints/sign_in.py         OAuth 2.1 §3.1      who the person is
endpoints/consent.py         OAuth 2.1 §4.1.1    what the person allows
endpoints/token.py           OAuth 2.1 §3.2      the token endpoint
endpoints/introspection.py   RFC 7662
endpoints/revocation.py      RFC 7009
endpoints/connections.py     what a person has allowed, to be narrowed or taken back
endpoints/activity.py        what happened lately in a person's name
endpoints/password.py        a person's own password
endpoints/home.py            the page for people
endpoints/openapi.py         OpenAPI 3.1         all of these, described
routes.py                    these, each at its path
grants/                      OAuth 2.1 §4        one file a grant_type
authorization_requests.py    OAuth 2.1 §4.1.1    the request, and where its answer goes
                             RFC 9207            the issuer in that answer
consents.py                  OAuth 2.1 §4.1.2    the question, and the code that a yes gives
issuing.py                   OAuth 2.1 §3.2.3    what the token endpoint answers
tokens.py                    codes, access tokens and refresh families
client_authentication.py     OAuth 2.1 §2.4      who is calling
client_assertion.py          RFC 7523 §3         private_key_jwt
clients/__init__.py          RFC 7591 §A.5.2     who a client_id is; sealed registrations
preregistered.py             RFC 7591 §2         clients that the operator names
client_id_metadata.py        draft-ietf-oauth-client-id-metadata-document
client_metadata_document.py  the same, §4, §6    what such a document may say
known_clients.py             the operator's clients, and where the others are looked up
self_description.py          RFC 7591 §2         a client's name and link, as people may see them
safe_fetch.py                fetching what a stranger named, and being sent nowhere else
addresses.py                 RFC 6890            which addresses are public
document_cache.py            RFC 9111            what was fetched, for as long as it may be kept
jwks.py                      RFC 7517 §5         the keys of clients
uris.py                      RFC 3986            URIs as raw strings
redirect_uris.py             OAuth 2.1 §2.3.1, RFC 8252 §7.3
pkce.py                      RFC 7636
scopes.py                    RFC 6749 §3.3
resources.py                 RFC 8707
sessions.py                  RFC 6265            the cookies of browsers
forms.py                     the forms that they are given, sealed against forgery
credentials.py               secrets: drawn, digested, sealed under the key ring
keys.py                      where the key ring comes from
accounts/                    RFC 9106            people and their passwords
password_attempts.py         OAuth 2.1 §7        guessing, without locking anybody out
limits.py                    RFC 6585 §4         how often what may be tried
limit_storage.py             where that is counted
client_address.py            RFC 7239 §7.4       from where a request comes
audit.py                     what happened, for operators and for the person whom it concerns
usage.py                     how often grants are used
tracing.py                   a span for each step of OAuth
http.py                      OAuth 2.1 §3.2      forms and JSON on their way in
json_documents.py            RFC 8259 §4         JSON that strangers wrote
errors.py                    RFC 6749 §5.2       what can go wrong, by the RFC's code
failures.py                  every error on its way out
pages/                       what people see
store/                       what is remembered
models.py                    the records of that
server.py                    what every endpoint is handed
app.py                       all this put together, as an application of its own too
commands.py                  what the commands (python -m auth.…) share
"""
