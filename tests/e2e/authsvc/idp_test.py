"""Login by identity provider, over both doors and both of Auth0's dialects of access tokens."""
import concurrent.futures

import pytest

from tests.e2e.authsvc.administration import Admin, settings
from tests.e2e.authsvc.doors import DOORS, Rest, document
from tests.e2e.authsvc.idp_world import ABOTT, PROFILES, World, abott, anna, claims, idp, one_idp, start, world  # noqa: F401 (fixtures)
from tests.support import rpc
from tests.support.idp import BOB, BOBS_PASSWORD, MFA, REALM, Idp
from tests.support.programs import until
from tests.support.stack import Authsvc, Sidecar

MEMBERS = {"access_token", "id_token", "refresh_token", "token_type", "expires_in", "expires_at", "refresh_expires_in", "scope", "session_id"}


def test_a_login_answers_with_the_providers_tokens_and_a_handle_of_ours(world):
    outcome = world.login(address="198.51.100.7")
    assert outcome.reason is None, outcome
    t = outcome.tokens
    assert set(t) == MEMBERS and t["token_type"] == "Bearer"
    access, identity = claims(t["access_token"]), claims(t["id_token"])
    assert access["iss"] == identity["iss"] == world.idp.url and access["sub"] == identity["sub"] == "auth0|bob"
    assert t["expires_at"] == access["exp"] and abs(t["expires_in"] - 86400) <= 5
    assert t["refresh_token"].startswith("cwr_") and t["refresh_token"] not in world.idp.refresh_tokens
    assert t["scope"] == "openid profile email offline_access"
    sent, = world.idp.seen()
    assert sent == {"grant_type": REALM, "realm": "Users", "username": BOB, "password": BOBS_PASSWORD, "audience": "https://api.abott.com",
                    "scope": "openid profile email offline_access", "client_id": "clinicwave", "client_secret": "the client's secret"}
    _, headers, _ = world.idp.requests[0]
    assert headers["auth0-forwarded-for"] == "198.51.100.7" and headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_the_password_is_passed_on_as_typed(world):
    world.idp.users[BOB]["password"] = typed = "p\u00e4ss&=+% \u212b \U0001f600"  # would change under NFKC
    assert world.login(username=BOB, password=typed).reason is None
    assert world.idp.seen()[0]["password"] == typed


def test_further_scopes_of_the_client_are_asked_for_and_no_others(world):
    assert world.login(scopes=["files:read", "admin:all", "openid"]).reason is None
    assert world.idp.seen()[0]["scope"] == "openid profile email offline_access files:read"


@pytest.mark.parametrize("username, password", [(BOB, "wrong"), ("nobody@abott.com", "wrong"), (BOB, "")])
def test_wrong_credentials_are_told_as_such(world, username, password):
    outcome = world.login(username, password)
    assert outcome.reason == "credentials_invalid" and outcome.tokens is None


@pytest.mark.parametrize("anna", [True])
def test_other_tenants_know_nothing_of_it(world):
    assert world.anna().reason is None
    assert world.door.login(BOB, BOBS_PASSWORD).reason == "credentials_invalid"
    assert world.login("anna@clinicwave.com", "correct horse battery staple").reason == "credentials_invalid"
    assert [r["username"] for r in world.idp.seen()] == ["anna@clinicwave.com"]
    t = world.login().tokens
    assert world.door.refresh(t["refresh_token"]).reason == "refresh_invalid"  # at clinicwave's domain
    assert world.door.userinfo(t["access_token"]).reason in ("issuer_unknown", "type_mismatch")


# --- refresh


def test_a_refresh_rotates_both_chains(world):
    first = world.login().tokens
    second = world.refresh(first["refresh_token"])
    assert second.reason is None, second
    t = second.tokens
    assert set(t) == MEMBERS and t["session_id"] == first["session_id"]
    assert t["refresh_token"] != first["refresh_token"] and t["access_token"] != first["access_token"]
    third = world.refresh(t["refresh_token"])
    assert third.reason is None
    sent = [r["refresh_token"] for r in world.idp.seen() if r["grant_type"] == "refresh_token"]
    assert len(sent) == len(set(sent)) == 2  # the provider's own rotate, too


def test_a_lost_answer_is_repeated_without_asking_the_provider_again(world):
    first = world.login().tokens["refresh_token"]
    once, again = world.refresh(first).tokens, world.refresh(first).tokens
    for name in ("access_token", "id_token", "refresh_token", "session_id"):
        assert once[name] == again[name]
    assert len([r for r in world.idp.seen() if r["grant_type"] == "refresh_token"]) == 1
    assert world.refresh(once["refresh_token"]).reason is None


def test_many_tabs_at_once_are_one_refresh_at_the_provider(world):
    first = world.login().tokens["refresh_token"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: DOORS[world.door.name](world.authsvc).refresh(first, domain=ABOTT), range(8)))
    assert {a.reason for a in answers} == {None}, answers
    assert len({a.tokens["access_token"] for a in answers}) == 1 and len({a.tokens["refresh_token"] for a in answers}) == 1
    assert len([r for r in world.idp.seen() if r["grant_type"] == "refresh_token"]) == 1


def test_a_provider_without_rotation_works_too(world):
    world.idp.rotation = False
    token = world.login().tokens["refresh_token"]
    for _ in range(3):
        outcome = world.refresh(token)
        assert outcome.reason is None
        token = outcome.tokens["refresh_token"]


def test_a_used_handle_ends_the_session_here_and_at_the_provider(world):
    first = world.login().tokens
    second = world.refresh(first["refresh_token"]).tokens
    third = world.refresh(second["refresh_token"]).tokens
    assert world.refresh(first["refresh_token"]).reason == "refresh_invalid"
    assert world.refresh(third["refresh_token"]).reason == "refresh_invalid"
    until("the provider is told", lambda: len(world.idp.revoked) == 1)


def test_a_refresh_that_the_provider_refuses_ends_the_session(world):
    t = world.login().tokens
    world.idp.families.clear()
    assert world.refresh(t["refresh_token"]).reason == "refresh_invalid"
    assert world.door.userinfo(t["access_token"], domain=ABOTT).reason == "token_revoked"


def test_without_offline_access_the_session_is_as_long_as_the_access_token(world):
    world.idp.give_refresh = False
    t = world.login().tokens
    assert abs(t["refresh_expires_in"] - min(86400, 8 * 3600)) <= 5
    assert world.refresh(t["refresh_token"]).reason == "refresh_invalid"
    assert world.door.userinfo(t["access_token"], domain=ABOTT).reason is None
    assert world.door.logout(refresh_token=t["refresh_token"], domain=ABOTT).reason is None


def test_a_refresh_about_another_subject_is_refused(world):
    t = world.login().tokens
    world.idp.id_claims = {"sub": "auth0|eve"}
    assert world.refresh(t["refresh_token"]).reason == "idp_unavailable"


# --- what a session's owner may do


def test_userinfo_is_the_providers(world):
    t = world.login().tokens
    answer = world.door.userinfo(t["access_token"], domain=ABOTT)
    assert answer.tokens == {"sub": "auth0|bob", "name": "Bob", "email": BOB, "email_verified": True}


def test_sessions_are_listed_and_ended(world):
    one, two = world.login().tokens, world.login().tokens
    listed = world.door.sessions(one["access_token"], domain=ABOTT).tokens
    assert {s["session_id"]: bool(s["current"]) for s in listed} == {one["session_id"]: True, two["session_id"]: False}
    assert world.door.end_session(one["access_token"], two["session_id"], domain=ABOTT).reason is None
    assert world.door.sessions(two["access_token"], domain=ABOTT).reason == "token_revoked"
    assert world.refresh(two["refresh_token"]).reason == "refresh_invalid"
    assert len(world.door.sessions(one["access_token"], domain=ABOTT).tokens) == 1


@pytest.mark.parametrize("by", ["access_token", "refresh_token"])
def test_logout_ends_the_session_here_and_at_the_provider(world, by):
    t = world.login().tokens
    given = {"token": t["access_token"]} if by == "access_token" else {"refresh_token": t["refresh_token"]}
    assert world.door.logout(**given, domain=ABOTT).reason is None
    assert world.refresh(t["refresh_token"]).reason == "refresh_invalid"
    assert world.door.userinfo(t["access_token"], domain=ABOTT).reason == "token_revoked"
    until("the provider is told", lambda: len(world.idp.revoked) == 1)
    assert world.idp.revoked[0] in world.idp.refresh_tokens


def test_a_token_that_was_got_past_us_has_no_session_here(world):
    stranger = world.idp.token_set(world.idp.users[BOB], "openid")["access_token"]
    assert world.door.sessions(stranger, domain=ABOTT).reason == "token_revoked"


@pytest.mark.parametrize("profile", PROFILES)
def test_after_a_logout_the_sidecar_refuses_the_access_tokens(directory, ending, profile):
    provider = ending(Idp(profile))
    world = start(directory, ending, provider)
    tenant = {"name": "abott", "domains": ["abott.com", ABOTT], "audiences": ["https://api.abott.com"],
              "issuers": [{"issuer": provider.url, "insecure-http-loopback": True, "types": ["JWT", "at+jwt"]}]}
    sidecar = ending(Sidecar(directory, [tenant], sidecar={"authsvc": {"socket": str(world.authsvc.socket)}})).start()
    first, other = world.login().tokens, world.login().tokens
    second = world.refresh(first["refresh_token"]).tokens
    until("the tokens are good", lambda: sidecar.validate(second["access_token"], ABOTT).decision == 1, 20)
    assert sidecar.validate(first["access_token"], ABOTT).decision == 1 and sidecar.validate(other["access_token"], ABOTT).decision == 1
    assert world.door.logout(refresh_token=second["refresh_token"], domain=ABOTT).reason is None
    for token in (first["access_token"], second["access_token"]):  # all that the session was given
        until("it is refused", lambda: sidecar.validate(token, ABOTT).reason == "token_revoked", 20)
    assert sidecar.validate(other["access_token"], ABOTT).decision == 1  # and no other session's


# --- second factors


@pytest.fixture
def with_mfa(world):
    world.idp.users[BOB]["mfa"] = {"otp": "123456", "recovery": "ABCDEFGHIJKLMNOPQRSTUVWX", "binding": "654321"}
    return world


def asked(world):
    outcome = world.login()
    assert outcome.reason == "mfa_required" and outcome.mfa_token.startswith("cwm_"), outcome
    assert outcome.methods == ["otp", "oob", "recovery_code"]
    return outcome.mfa_token


def test_a_login_goes_on_with_a_one_time_code(with_mfa):
    token = asked(with_mfa)
    assert with_mfa.door.mfa_challenge(token, challenge_type="otp", domain=ABOTT).tokens == {"challenge_type": "otp"}
    wrong = with_mfa.door.mfa_verify(token, otp="000000", domain=ABOTT)
    assert wrong.reason == "mfa_invalid"
    done = with_mfa.door.mfa_verify(token, otp="123456", domain=ABOTT)
    assert done.reason is None and set(done.tokens) == MEMBERS, done
    assert with_mfa.door.mfa_verify(token, otp="123456", domain=ABOTT).reason == "mfa_token_invalid"
    assert with_mfa.refresh(done.tokens["refresh_token"]).reason is None
    assert [f["grant_type"] for f in with_mfa.idp.seen()][-2:] == [MFA + "otp", "refresh_token"]


def test_a_login_goes_on_out_of_band(with_mfa):
    token = asked(with_mfa)
    challenge = with_mfa.door.mfa_challenge(token, challenge_type="oob", domain=ABOTT).tokens
    assert challenge["challenge_type"] == "oob" and challenge["binding_method"] == "prompt"
    with_mfa.idp.users[BOB]["mfa"]["pending"] = True
    assert with_mfa.door.mfa_verify(token, oob_code=challenge["oob_code"], domain=ABOTT).reason == "mfa_pending"
    with_mfa.idp.users[BOB]["mfa"]["pending"] = False
    assert with_mfa.door.mfa_verify(token, oob_code=challenge["oob_code"], binding_code="000000", domain=ABOTT).reason == "mfa_invalid"
    assert with_mfa.door.mfa_verify(token, oob_code=challenge["oob_code"], binding_code="654321", domain=ABOTT).reason is None


def test_a_recovery_code_brings_the_next_one(with_mfa):
    token = asked(with_mfa)
    done = with_mfa.door.mfa_verify(token, recovery_code="ABCDEFGHIJKLMNOPQRSTUVWX", domain=ABOTT)
    assert done.reason is None and done.tokens["recovery_code"] == with_mfa.idp.users[BOB]["mfa"]["recovery"]


def test_the_code_may_come_with_the_password(with_mfa):
    assert with_mfa.login(otp="000000").reason == "mfa_invalid"
    assert with_mfa.login(otp="123456").reason is None


def test_a_method_that_the_user_has_not_is_told(with_mfa):
    del with_mfa.idp.users[BOB]["mfa"]["binding"]
    token = asked(with_mfa)
    assert with_mfa.door.mfa_challenge(token, challenge_type="oob", domain=ABOTT).reason == "mfa_method_unsupported"
    assert with_mfa.door.mfa_challenge(token, domain=ABOTT).tokens == {"challenge_type": "otp"}  # any: what there is


# --- how the tenant is set up


def test_without_a_connection_it_is_the_plain_password_grant(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, connection=None)
    assert world.login().reason is None
    sent, = one_idp.seen()
    assert sent["grant_type"] == "password" and "realm" not in sent


def test_the_address_is_not_told_where_that_is_off(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp, forwarded_for=False)
    assert world.login(address="198.51.100.7").reason is None
    assert not any("forwarded" in name.lower() for name in one_idp.requests[0][1])


def test_tenants_of_a_provider_have_no_keys_here(directory, ending, one_idp):  # noqa: F811
    rest = start(directory, ending, one_idp).door
    for path in ("/.well-known/openid-configuration", "/.well-known/jwks.json"):
        assert rest.send("GET", path, domain=ABOTT).reason == "not_found"


def test_the_feed_names_the_provider_and_no_secret(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    request = rpc.message("clinicwave.identity.v1.WatchRequest")(generation=0)
    snapshot = next(iter(world.authsvc.stub("clinicwave.identity.v1.TenantService").Watch(iter([request]), timeout=20)))
    issuer, = next(t for t in snapshot.tenants if t.name == "abott").issuers
    assert issuer.issuer == one_idp.url and not issuer.jwks and list(issuer.types) == ["at+jwt", "jwt"]
    assert issuer.claims.roles == '"https://abott.com/roles"'
    assert one_idp.secret.encode() not in snapshot.SerializeToString()


def test_neither_log_nor_database_has_a_token_or_a_password(directory, ending, one_idp):  # noqa: F811
    world = start(directory, ending, one_idp)
    t = world.login().tokens
    second = world.refresh(t["refresh_token"]).tokens
    world.login(password="a wrong passphrase")
    world.authsvc.stop()
    secrets = [BOBS_PASSWORD, "a wrong passphrase", one_idp.secret, *one_idp.refresh_tokens]
    secrets += [x[n] for x in (t, second) for n in ("access_token", "id_token", "refresh_token")]
    kept = b"".join(p.read_bytes() for p in (directory / "state").iterdir()) + world.authsvc.process.log().encode()
    for secret in secrets:
        assert secret.encode() not in kept, secret[:20]


def test_a_user_who_was_disabled_here_gets_no_session(directory, ending, one_idp):  # noqa: F811
    import subprocess

    from tests.support.programs import program
    world = start(directory, ending, one_idp)
    t = world.login().tokens
    world.authsvc.stop()
    subprocess.run([program("authsvc/cw-authsvc"), "user", "disable", "--config", world.authsvc.config, "--tenant", "abott", "--username",
                    "auth0|bob"], check=True, stdout=subprocess.DEVNULL)
    world.authsvc.start()
    world.door = Rest(world.authsvc)
    assert world.login().reason == "account_blocked"
    assert world.refresh(t["refresh_token"]).reason == "refresh_invalid"


def test_a_reload_brings_a_new_secret(directory, ending, one_idp):  # noqa: F811
    import signal
    world = start(directory, ending, one_idp)
    assert world.login().reason is None
    one_idp.secret = "another secret"
    assert world.login().reason == "idp_misconfigured"
    abott(one_idp, directory)  # writes the file
    world.authsvc.process.signal(signal.SIGHUP)
    until("the new secret is used", lambda: world.login().reason is None)


@pytest.mark.parametrize("door", sorted(DOORS))
def test_credentials_that_an_administrator_gives_and_changes_are_the_ones_that_are_sent(directory, ending, one_idp, door):  # noqa: F811
    service = ending(Authsvc(directory, document(algorithm="ES256"), ending.store)).start()
    admin, secret = Admin(service).stub, rpc.message("clinicwave.identity.v1.SecretSetting")
    one_idp.secret = "käse & 100 % = 1+1\t "  # as it is: nothing of it is cut off or translated

    def secrets():
        return [secret(name="idp.client-secret-file", value=one_idp.secret.encode())]
    wanted = {"domains": [ABOTT], "login": "idp", "issuer": one_idp.url, "audiences": "https://api.abott.com", "clients[0].id": "portal",
              "idp.client-id": one_idp.client, "idp.connection": "Users", "idp.insecure-http-loopback": "true", "idp.timeout": "3s"}
    admin.CreateTenant(name="abott", settings=settings(wanted), secrets=secrets())
    world = World(one_idp, service, DOORS[door](service))
    assert world.login().reason is None
    one_idp.secret = "the next secret"  # changed at the provider
    assert world.login().reason == "idp_misconfigured"
    admin.UpdateTenant(name="abott", secrets=secrets())
    t = world.login().tokens
    assert world.refresh(t["refresh_token"]).reason is None
    admin.UpdateTenant(name="abott", settings=settings({"idp.timeout": "4s"}))  # the secret stays
    assert world.login().reason is None
    service.stop()
    service.start()
    world.door = DOORS[door](service)
    assert world.login().reason is None
