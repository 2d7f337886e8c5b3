"""Takes defences away, one at a time, and shows that a test notices each (`make mutations`).

A mutation is in memory only: in a function's source one text becomes another. Where the text is not
there any more the run fails, so that a defence which moved takes its mutation along.
"""

import sys
from collections.abc import Callable
from inspect import unwrap
from pathlib import Path
from typing import Any

import pytest

from auth import (
    accounts,
    authorization_requests,
    client_address,
    client_assertion,
    client_authentication,
    consents,
    credentials,
    failures,
    forms,
    http,
    limit_storage,
    password_attempts,
    redirect_uris,
    safe_fetch,
    sessions,
)
from auth.clients import _find_document, has_secret
from auth.endpoints import authorization, connections, consent, introspection, registration
from auth.grants import authorization_code
from auth.issuing import new_access_token
from auth.pages.security_headers import _content_security_policy, security_headers
from auth.store.memory import MemoryStore
from auth.store.memory.grants import Grants
from connection_limits import LimitedProtocol
from host_guard import HostGuard
from request_limits import RequestLimits, _Exchange
from resource_server.bearer import RequireBearerToken
from resource_server.browser_origins import RequireKnownOrigin
from resource_server.calls import _calls_in_body, calls_of
from resource_server.protected_resource import ProtectedResource
from resource_server.session_limits import SessionLimits
from resource_server.stream_limits import StreamLimits
from startup import start
from tests.mutants import Mutant

TESTS = Path(__file__).parents[1]

Target = Callable[..., Any]

# What is taken away, where, the text and what becomes of it, and the test that must notice.
DEFENCES: tuple[tuple[str, Target, str, str, str], ...] = (
    (
        "only our own names are answered",
        HostGuard.__call__,
        'len(hosts) == 1 and self._origins.select(hosts[0].decode("latin-1"))',
        "hosts",
        "security/test_discovery.py::test_no_path_answers_under_a_name_that_is_not_ours",
    ),
    (
        "pages of other origins may not call /mcp",
        RequireKnownOrigin._is_known,
        "return is_local or",
        "return True or",
        "security/test_bearer.py::test_a_page_of_another_origin_is_refused_with_a_good_token_too",
    ),
    (
        "a redirect URI is compared whole",
        redirect_uris.matches_redirect_uri,
        "uri == presented\n",
        "presented.startswith(uri)\n",
        "security/test_redirects.py::test_what_does_not_match_hears_nothing",
    ),
    (
        "a redirect URI is judged when it is registered",
        registration._check_redirect_uris,
        "if reason := check_redirect_uri(uri, is_public=is_public):",
        "if reason := '':",
        "security/test_registration.py::test_a_redirect_uri_that_runs_hides_or_roams_is_refused",
    ),
    (
        "what is sealed is authenticated",
        credentials.KeyRing.unseal,
        ".loads(sealed)",
        ".loads_unsafe(sealed)[1]",
        "security/test_registration.py::test_a_changed_client_id_is_nobodys",
    ),
    (
        "nobody is redirected before somebody signed in",
        authorization.tell_client,
        "signed_in is not None and",
        "",
        "test_authorization.py::test_nobody_is_redirected_before_somebody_signed_in",
    ),
    (
        "an error starts no program",
        authorization.tell_client,
        "and not is_app",
        "",
        "security/test_authorize.py::test_an_error_starts_no_program_without_a_click",
    ),
    (
        "who shall sign in again does",
        authorization.authorize,
        " or asked.wants_sign_in",
        "",
        (
            "security/test_authorize.py::"
            "test_who_shall_sign_in_again_does_so_once_whatever_was_remembered"
        ),
    ),
    (
        "PKCE needs S256",
        authorization_requests._read_code_challenge,
        'if form.get("code_challenge_method") != "S256":',
        "if False:",
        (
            "test_authorization.py::"
            "test_a_bad_request_is_told_to_the_client_once_somebody_is_signed_in"
        ),
    ),
    (
        "the issuer is in the answer",
        authorization_requests.RedirectionEndpoint.url,
        ', "iss": self.issuer',
        "",
        "security/test_authorize.py::test_the_issuer_is_in_every_answer_once",
    ),
    (
        "a form is bound to its session",
        forms.open_form,
        "if not is_same(form.session, _session(signed_in)):",
        "if False:",
        "test_consent.py::test_a_form_of_another_browser_or_session_allows_nothing",
    ),
    (
        "a form is bound to its browser",
        forms.read_form,
        'not is_same(payload["b"], digest(browser).hex())',
        "False",
        "test_sign_in.py::test_a_form_of_another_browser_signs_nobody_in",
    ),
    (
        "forms of other sites are refused",
        forms.check_same_origin,
        'if sender not in own or site not in {None, "same-origin", "none"}:',
        "if False:",
        "security/test_consent.py::test_no_other_site_answers_for_the_person",
    ),
    (
        "a form answers once",
        forms.spend_form,
        "if not await server.store.spend(digest(form.nonce), form.expires_at, server.now()):",
        "if False:",
        "test_consent.py::test_an_answer_counts_once",
    ),
    (
        "a yes is remembered only for who proves who it is",
        consents.is_proved,
        "return client.is_confidential",
        "return True",
        "test_consent.py::test_a_yes_is_remembered_only_for_a_client_that_proves_who_it_is",
    ),
    (
        "a yes holds for the redirect URI it was given for",
        consents._covers,
        "grant.redirect_uri == asked.redirection.redirect_uri",
        "True",
        "security/test_metadata_documents.py::test_a_document_that_changed_is_asked_about_again",
    ),
    (
        "what was not shown as held is allowed only when it is ticked",
        consent._allow,
        "set(form.held) & ",
        "",
        (
            "security/test_consent.py::"
            "test_what_was_unticked_is_not_allowed_because_another_tab_allowed_it"
        ),
    ),
    (
        "what was not shown is not allowed",
        consent._allow,
        "and s in form.shown",
        "",
        (
            "security/test_consent.py::"
            "test_what_was_not_shown_is_not_allowed_whatever_the_settings_say_now"
        ),
    ),
    (
        "a form has so many fields",
        http._pairs,
        "max_num_fields=MAX_FIELDS",
        "max_num_fields=None",
        "security/test_limits.py::test_what_only_costs_time_to_read_is_refused",
    ),
    (
        "bodies are read as they are",
        http.read_body,
        'request.headers.get("content-encoding", "identity") != "identity"',
        "False",
        "security/test_limits.py::test_what_only_costs_time_to_read_is_refused",
    ),
    (
        "parameters are in one encoding",
        http.read_posted_form,
        'if _media_type(request) != (FORM_TYPE, "utf-8"):',
        "if False:",
        "security/test_limits.py::test_what_only_costs_time_to_read_is_refused",
    ),
    (
        "no parameter is in the URL",
        http.read_form,
        'if request.scope["query_string"]:',
        "if False:",
        "security/test_introspection_and_revocation.py::test_a_token_in_the_url_is_refused",
    ),
    (
        "nobody's password is hashed too",
        accounts.sign_in,
        "if not await passwords.verify(account, password, username):",
        "if account is None or not await passwords.verify(account, password, username):",
        "test_sign_in.py::test_an_unknown_person_takes_as_long_to_refuse_as_a_known_one",
    ),
    (
        "passwords are limited",
        password_attempts._count,
        "await limit.take(*key)",
        "await limit.note(*key)",
        (
            "security/test_limits.py::"
            "test_a_guesser_waits_and_the_right_password_too_and_then_it_works"
        ),
    ),
    (
        "names of nobody are counted apart",
        password_attempts.begin_attempt,
        "by_name, by_account = by_name.apart, by_account.apart",
        "pass",
        "security/test_limits.py::test_names_of_nobody_make_us_forget_nothing",
    ),
    (
        "a known browser is known for one person",
        password_attempts._find_device,
        'device["u"] != _who(account)',
        "False",
        (
            "security/test_limits.py::"
            "test_a_browser_is_known_for_one_person_with_one_password_and_by_our_seal"
        ),
    ),
    (
        "a known browser is known for one password",
        password_attempts._who,
        " {account.password_hash}",
        "",
        (
            "security/test_limits.py::"
            "test_a_browser_is_known_for_one_person_with_one_password_and_by_our_seal"
        ),
    ),
    (
        "only the operator's proxies are believed",
        client_address.client_address,
        "proxies := server.settings.trusted_proxies",
        "proxies := 99",
        "security/test_proxies.py::test_an_untrusted_header_does_not_get_around_a_limit",
    ),
    (
        "limits forget the oldest keys",
        unwrap(limit_storage.BoundedMemory.acquire_sliding_window_entry),
        "if len(self._counted) > self._max_keys:",
        "if False:",
        "security/test_limits.py::test_of_many_keys_the_last_ones_are_remembered",
    ),
    (
        "the line for password hashes is bounded",
        accounts.Passwords._run,
        "if self._in_line >= self._longest_line:",
        "if False:",
        "security/test_limits.py::test_more_passwords_than_can_be_checked_are_sent_away",
    ),
    (
        "a code needs its verifier",
        authorization_code._is_for,
        "and pkce.matches(asked.code_verifier, code.code_challenge)",
        "",
        "security/test_code.py::test_a_code_injected_into_another_request_is_worth_nothing",
    ),
    (
        "a code is its client's",
        authorization_code._is_for,
        "code.client_id == client.client_id",
        "True",
        "security/test_code.py::test_another_client_neither_gets_nor_burns_it",
    ),
    (
        "revoking and narrowing count for waiting codes",
        connections._own_grants,
        "with_unexchanged=True",
        "with_unexchanged=False",
        "security/test_consent.py::test_a_code_on_its_way_is_worth_no_more_than_what_is_left",
    ),
    (
        "what a client has for itself is bounded",
        Grants.forget_first_of,
        "len(own) > self._most_of_a_client",
        "False",
        (
            "test_store_memory.py::"
            "test_a_client_that_asks_for_tokens_all_the_time_leaves_room_for_others"
        ),
    ),
    (
        "a replayed code ends what it gave",
        MemoryStore.consume_code,
        "self._grants.end(grant, now)",
        "pass",
        "test_token.py::test_a_replayed_code_revokes_the_tokens_it_gave",
    ),
    (
        "a spent refresh token ends the family",
        MemoryStore.rotate_refresh_token,
        "self._grants.end(grant, now)",
        "pass",
        "test_refresh.py::test_outside_the_window_a_spent_token_kills_the_family",
    ),
    (
        "the grace is for the last token only",
        MemoryStore.rotate_refresh_token,
        "generation == grant.generation - 1 and",
        "",
        "security/test_refresh.py::test_grandparents_are_thieves_even_inside_the_window",
    ),
    (
        "no test's server logs what it gives",
        new_access_token,
        "return secret, AccessToken(",
        '__import__("logging").getLogger("latchgate").debug(secret); return secret, AccessToken(',
        "test_token.py::test_a_code_gives_tokens",
    ),
    (
        "a secret is compared",
        has_secret,
        "digest(derived) == presented",
        "True",
        "security/test_client_authentication.py::test_a_blank_secret_is_no_secret",
    ),
    (
        "a repeated parameter is refused",
        http.read_form,
        "if form.repeated:",
        "if False:",
        "security/test_parsing.py::test_of_two_values_neither_wins",
    ),
    (
        "introspection is about one's own tokens",
        introspection._may_see,
        "return grant.client_id == caller.client_id",
        "return True",
        "test_introspection.py::test_everything_else_is_inactive_and_no_more",
    ),
    (
        "a token is for one resource",
        RequireBearerToken._authenticate,
        "if token.resource != origin.resource:",
        "if False:",
        (
            "security/test_resource_and_scope.py::"
            "test_a_token_for_one_of_our_names_is_none_for_another"
        ),
    ),
    (
        "a resource server hears nothing good of a refresh token",
        introspection._describe,
        "if refresh and _is_resource_server(server, caller):",
        "if False:",
        (
            "security/test_bearer.py::"
            "test_the_resource_server_is_not_told_that_a_refresh_token_is_good"
        ),
    ),
    (
        "a head has an end",
        LimitedProtocol._count,
        "self.transport.close()",
        "pass",
        "security/test_sockets.py::test_what_nobody_reads_any_more_is_cut_off",
    ),
    (
        "a head has a deadline",
        LimitedProtocol._give_up,
        "self.transport.close()",
        "pass",
        "security/test_sockets.py::test_a_head_that_does_not_come_is_given_up",
    ),
    (
        "uvicorn believes nobody's headers",
        start,
        "believe_nobody()",
        "pass",
        ("security/test_sockets.py::test_the_plain_command_believes_no_header_about_addresses"),
    ),
    (
        "an unknown document is fetched so many times",
        _find_document,
        "await server.limits.client_metadata_limit.take(network)",
        "pass",
        "security/test_limits.py::test_nobody_has_us_fetch_one_unknown_document_after_another",
    ),
    (
        "HTTPS stays HTTPS",
        security_headers,
        "max-age=31536000",
        "max-age=1",
        ("security/test_headers.py::test_every_cookie_is_bound_to_host_tls_and_our_own_pages"),
    ),
    (
        "a call needs its scopes",
        ProtectedResource._serve,
        "if needed and not set(needed).issubset(token.scopes):",
        "if False:",
        "test_scopes.py::test_a_call_without_its_scopes_is_403_in_the_stateless_protocol",
    ),
    (
        "documents come from public addresses",
        safe_fetch.SafeFetcher._permitted_addresses,
        "if not is_permitted(ip_address(answer))",
        "if False",
        "test_safe_fetch.py::test_nothing_is_sent_where_one_address_is_not_public",
    ),
    (
        "made-up URLs take no turns of known documents",
        safe_fetch.SafeFetcher.fetch,
        "self._limit if is_known else self._limit.apart",
        "self._limit",
        (
            "security/test_metadata_documents.py::"
            "test_made_up_urls_keep_no_known_document_from_being_fetched"
        ),
    ),
    (
        "a stranger's key is not made to cost",
        client_assertion._is_sound,
        "key.public_numbers().e.bit_length() <= _RSA_EXPONENT_BITS",
        "True",
        "test_client_assertion.py::test_an_rsa_key_that_takes_long_to_try_is_not_tried",
    ),
    (
        "good assertions are counted",
        client_authentication._verify_assertion,
        "if client.identity is not Identity.PREREGISTERED:",
        "if False:",
        "security/test_limits.py::test_assertions_of_strangers_are_counted_good_ones_too",
    ),
    (
        "bodies have a size",
        http.read_body,
        "if len(body) > MAX_BODY:",
        "if False:",
        "security/test_limits.py::test_a_body_over_64_kib_is_not_read_to_its_end",
    ),
    (
        "bodies have a deadline",
        _Exchange.expire,
        "self._is_late = not self._is_read",
        "self._is_late = False",
        "security/test_limits.py::test_every_path_gives_up_a_slow_body",
    ),
    (
        "heads have a size",
        RequestLimits.__call__,
        "if _is_head_too_large(scope):",
        "if False:",
        "security/test_limits.py::test_a_head_that_is_too_large_is_refused",
    ),
    (
        "one person has so many streams",
        StreamLimits.__init__,
        "self._per_person = per_person",
        "self._per_person = 10**9",
        "security/test_limits.py::test_one_person_opens_so_many_streams_and_no_more",
    ),
    (
        "one person has so many sessions",
        SessionLimits.refuse,
        "if opened >= self.per_person",
        "if False",
        "security/test_sessions.py::test_one_person_opens_so_many_sessions_and_no_more",
    ),
    (
        "a stream is for so many resources",
        calls_of,
        "if len(uris) > MAX_SUBSCRIPTIONS:",
        "if False:",
        "security/test_messages.py::test_a_stream_is_for_so_many_resources_and_no_more",
    ),
    (
        "what a stream keeps is short",
        _calls_in_body,
        "if len(body) > MAX_KEPT and not is_handshake:",
        "if False:",
        ("security/test_messages.py::test_what_is_kept_as_long_as_a_stream_or_a_session_is_short"),
    ),
    (
        "cookies are out of reach for scripts",
        sessions.set_cookie,
        "httponly=True",
        "httponly=False",
        "security/test_headers.py::test_every_cookie_is_bound_to_host_tls_and_our_own_pages",
    ),
    (
        "pages cannot be framed",
        _content_security_policy,
        " frame-ancestors 'none';",
        "",
        "security/test_consent.py::test_no_page_can_be_framed_or_scripted",
    ),
    (
        "strangers' words are cut in the log",
        failures._note,
        "%.256r",
        "%s",
        "security/test_logging.py::test_what_strangers_say_is_cut_and_cannot_write_lines",
    ),
    (
        "only digests are stored",
        credentials.digest,
        'sha256(secret.encode("utf-8", "surrogatepass")).digest()',
        'secret.encode("utf-8", "surrogatepass")',
        "security/test_logging.py::test_no_secret_is_logged_or_kept",
    ),
)


class Verdict:
    """Counts what failed in a run of pytest, which prints nothing."""

    def __init__(self) -> None:
        self.ran = 0
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        self.ran += report.when == "call"
        if report.failed:
            self.failed.append(report.nodeid)


def run(*tests: str) -> Verdict:
    """Run these tests until one fails."""
    verdict = Verdict()
    options = ("-x", "-m", "", "--assert=plain", "-p", "no:terminal", "-p", "no:cacheprovider")
    pytest.main([*options, *(str(TESTS / test) for test in tests)], plugins=[verdict])
    return verdict


def main() -> int:
    """The table; 1 if a test is red without a mutation, or none is red with one."""
    untouched = run(*sorted({test for *_, test in DEFENCES}))
    if untouched.failed or not untouched.ran:
        print("red although nothing is taken away:", *untouched.failed)
        return 1
    survivors = 0
    for name, target, old, new, test in DEFENCES:
        with Mutant(name, target, old, new).planted():
            verdict = run(test)
        survivors += not verdict.failed
        outcome = "noticed" if verdict.failed else "NOT NOTICED"
        print(f"{outcome:11}  {name:52}  {test.rpartition('::')[2]}", flush=True)
    print(f"\n{len(DEFENCES)} defences taken away, {survivors} without a test that notices.")
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
