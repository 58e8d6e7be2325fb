"""cwctl administers a running cw-authsvc: tenants, users, sessions, revocation."""
import re
import shutil
import subprocess

import pytest

from tests.e2e.authsvc.doors import ANNA, PASSWORD, Rest, document
from tests.e2e.cwctl.online_test import Cwctl
from tests.support.fixtures import only_root
from tests.support.programs import program
from tests.support.stack import Authsvc

SETTINGS = ["domains=acme.com,acme.localhost", "issuer=https://acme.localhost:8443", "audiences=https://api.acme.com", "algorithm=ES256", "clients[0].id=portal"]


@pytest.fixture
def authsvc(directory, ending):
    return ending(Authsvc(directory, document()).add_user("clinicwave", ANNA, PASSWORD, "doctor")).start()


@pytest.fixture
def cwctl(directory, authsvc):
    return Cwctl(directory)


def done(result):
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refused(result, *words, code=1):
    assert result.returncode == code and not result.stdout, (result.returncode, result.stdout, result.stderr)
    assert all(w in result.stderr for w in words), result.stderr


def test_origins_are_one_setting_under_each_of_their_names(cwctl, authsvc):
    shown = lambda: {s["name"]: s["values"] for s in cwctl.json("tenants", "show", "acme")["tenant"]["settings"] if "origins" in s["name"]}
    done(cwctl("tenants", "add", "acme", *SETTINGS, "allowed_origins=https://a.acme.com,https://b.acme.com"))
    assert shown() == {"origins": ["https://a.acme.com,https://b.acme.com"]}
    done(cwctl("tenants", "set", "acme", "origins=https://c.acme.com"))
    assert shown() == {"origins": ["https://c.acme.com"]}
    done(cwctl("tenants", "set", "acme", "allowed-origins="))
    assert shown() == {}
    refused(cwctl("tenants", "set", "acme", "allowed_origins=https://*.acme.com"), "tenant_invalid", "origins")


def test_a_tenant_from_nothing_to_a_login_and_back(cwctl, authsvc):
    door = Rest(authsvc)
    assert "tenant acme added" in done(cwctl("tenants", "add", "acme", *SETTINGS))
    added = done(cwctl("users", "add", "--tenant", "acme", ANNA, "--roles", "nurse,chief", "--name", "Anna", stdin=PASSWORD + "\n"))
    subject = cwctl.json("users", "show", "--tenant", "acme", ANNA)["user"]["subject"]
    assert added == f"{ANNA}  {subject}  Anna  roles nurse,chief\n"
    tokens = door.login(domain="acme.com").tokens
    assert door.userinfo(tokens["access_token"], domain="acme.com").tokens["roles"] == ["nurse", "chief"]
    assert cwctl.json("tenants", "show", "acme")["tenant"]["domains"] == ["acme.com", "acme.localhost"]
    shown = done(cwctl("tenants", "set", "acme", "access-token-life=1m", "domains=acme.com"))
    assert "access-token-life=1m" in shown and "acme.localhost" not in shown.replace("https://acme.localhost", "")
    assert door.login(domain="acme.com").tokens["expires_in"] == 60
    assert "access-token-life" not in done(cwctl("tenants", "set", "acme", "access-token-life="))
    done(cwctl("tenants", "disable", "acme"))
    assert door.login(domain="acme.com").reason == "tenant_disabled" and "(disabled)" in done(cwctl("tenants", "list"))
    done(cwctl("tenants", "enable", "acme"))
    assert door.login(domain="acme.com").reason is None
    refused(cwctl("tenants", "remove", "acme"), "tenant_enabled")
    done(cwctl("tenants", "disable", "acme"))
    done(cwctl("tenants", "remove", "acme"))
    assert door.login(domain="acme.com").reason == "tenant_unknown"
    listed = done(cwctl("tenants", "list"))
    assert "acme" not in listed and "clinicwave  (from the configuration file)" in listed
    assert "more: --after clinicwave" in done(cwctl("tenants", "list", "--limit", "1"))
    assert done(cwctl("tenants", "list", "--after", "clinicwave")).startswith("other")


def test_settings_come_from_a_file_and_secrets_from_standard_input(cwctl, directory):
    file = directory / "acme.yaml"
    file.write_text("domains: [acme.com]\nissuer: https://idp.acme.com/\naudiences: [a]\nlogin: idp\nclients: [{id: portal}]\nidp: {client-id: us}\n")
    refused(cwctl("tenants", "add", "acme", "--file", str(file)), "tenant_invalid", "client-secret-file")
    done(cwctl("tenants", "add", "acme", "--file", str(file), "--secret", "idp.client-secret-file", stdin="hunter2 and more\n"))
    assert "hunter2" not in done(cwctl("tenants", "show", "acme")) + str(cwctl.json("tenants", "show", "acme"))
    refused(cwctl("tenants", "add", "b", "--file", str(directory / "none.yaml")), "cannot be read", code=64)


def test_what_is_refused_says_why_and_exits_with_1_or_64(cwctl):
    done(cwctl("tenants", "add", "acme", *SETTINGS))
    refused(cwctl("tenants", "add", "acme", *SETTINGS), "tenant_conflict", "already")
    refused(cwctl("tenants", "set", "acme", "domains=clinicwave.com"), "tenant_conflict", "clinicwave stands in the configuration file")
    refused(cwctl("tenants", "set", "acme", "nonsense=1"), "nonsense: unknown key")
    refused(cwctl("tenants", "set", "clinicwave", "algorithm=ES256"), "tenant_configured")
    refused(cwctl("tenants", "show", "nobody"), "not_found")
    refused(cwctl("tenants", "set", "acme", "--if-version", "1234", "algorithm=ES256"), "precondition_failed")
    refused(cwctl("tenants", "set", "acme", "algorithm"), "NAME=VALUE", code=64)
    refused(cwctl("tenants", "add"), "NAME is missing", code=64)
    refused(cwctl("users", "add", "--tenant", "acme", ANNA, stdin=""), "request_malformed")
    refused(cwctl("users", "list"), "--tenant is missing", code=64)
    refused(cwctl("revoke", "--jti", "x"), "--tenant is missing", code=64)
    refused(cwctl("revoke", "--tenant", "acme", "--jti", "x", "--subject", "y"), "one of", code=64)


def test_users_are_administered(cwctl, authsvc):
    door = Rest(authsvc)
    assert ANNA in done(cwctl("users", "list", "--tenant", "clinicwave"))
    user = cwctl.json("users", "set", "--tenant", "clinicwave", ANNA, "--roles", "a,b", "--name", "Anna")["user"]
    assert user["roles"] == ["a", "b"] and user["name"] == "Anna"
    user = cwctl.json("users", "set", "--tenant", "clinicwave", ANNA, "--roles", "")["user"]
    assert "roles" not in user and user["name"] == "Anna"
    assert cwctl.json("users", "show", "--tenant", "clinicwave", ANNA)["user"]["subject"] == user["subject"]
    done(cwctl("users", "set-password", "--tenant", "clinicwave", ANNA, stdin="a wholly new one\n"))
    assert door.login().reason == "credentials_invalid" and door.login(password="a wholly new one").reason is None
    done(cwctl("users", "disable", "--tenant", "clinicwave", ANNA))
    assert door.login(password="a wholly new one").reason == "account_blocked"
    done(cwctl("users", "enable", "--tenant", "clinicwave", ANNA))
    assert door.login(password="a wholly new one").reason is None
    refused(cwctl("users", "disable", "--tenant", "clinicwave", "nobody@clinicwave.com"), "not_found")


def test_what_a_password_or_a_provider_forbids_is_a_refusal(cwctl, directory):
    for password, reason in (("short", "password_too_short"), ("passwordpassword", "password_too_common"), ("a b c d e" * 100, "password_too_long")):
        refused(cwctl("users", "add", "--tenant", "clinicwave", "new@clinicwave.com", stdin=password), reason)
        refused(cwctl("users", "set-password", "--tenant", "clinicwave", ANNA, stdin=password), reason)
    file = directory / "acme.yaml"
    file.write_text("domains: [acme.com]\nissuer: https://idp.acme.com/\naudiences: [a]\nlogin: idp\nclients: [{id: portal}]\nidp: {client-id: us, client-auth: none}\n")
    done(cwctl("tenants", "add", "acme", "--file", str(file)))
    refused(cwctl("users", "list", "--tenant", "acme"), "idp_managed")
    refused(cwctl("users", "add", "--tenant", "acme", ANNA, stdin=PASSWORD), "idp_managed")


def test_names_in_other_letters_are_shown_and_none_steers_the_terminal(cwctl):
    juergen, name = "jürgen.müller@clinicwave.com", "Jürgen 😀 Мария"
    added = done(cwctl("users", "add", "--tenant", "clinicwave", juergen, "--name", name, stdin=PASSWORD))
    assert added.startswith(f"{juergen}  ") and name in added
    assert juergen in done(cwctl("users", "list", "--tenant", "clinicwave"))
    turned = done(cwctl("users", "set", "--tenant", "clinicwave", juergen, "--name", "a\u202eb\u009b1mc\u200bd\u061ce\u00adf\U000e0041g"))
    assert "  a?b?1mc?d?e?f?g" in turned
    cut = done(cwctl("users", "set", "--tenant", "clinicwave", juergen, "--name", "ü" * 127))
    assert "ü" * 127 in cut
    domains = done(cwctl("tenants", "add", "books", "domains=bücher.localhost", *SETTINGS[1:]))
    assert "domains=bücher.localhost" in domains and "xn--bcher-kva.localhost" in domains


def test_what_is_refused_is_one_line_without_a_rest(cwctl):
    wrong = cwctl("tenants", "add", "acme", *SETTINGS[1:])
    assert wrong.stderr.endswith("tenant_invalid: domains: is required\n"), wrong.stderr
    both = cwctl("tenants", "add", "acme", "login=idp", *SETTINGS)
    assert both.stderr.count("\n") == 1 and "idp.client-id: is needed" in both.stderr and "; idp.client-secret-file: is needed" in both.stderr
    assert "no control characters" in cwctl("users", "add", "--tenant", "clinicwave", "a\tb", stdin=PASSWORD).stderr


def test_passwords_are_reset_and_expired_without_being_learned(cwctl, authsvc):
    door = Rest(authsvc)
    code = done(cwctl("users", "reset-password", "--tenant", "clinicwave", ANNA, "--life", "60")).strip()
    assert door.password_reset(code, "a wholly new one").reason is None
    done(cwctl("users", "expire-password", "--tenant", "clinicwave", ANNA))
    assert door.login(password="a wholly new one").reason == "password_expired"
    refused(cwctl("users", "reset-mfa", "--tenant", "clinicwave", ANNA), "not_found")
    refused(cwctl("users", "reset-password", "--tenant", "clinicwave", "nobody@clinicwave.com"), "not_found")


def test_groups_are_administered(cwctl, authsvc):
    door = Rest(authsvc)
    done(cwctl("groups", "put", "--tenant", "clinicwave", "ward 3", "--roles", "nurse", "--permissions", "files:read,files:write", "--description", "third floor"))
    done(cwctl("groups", "join", "--tenant", "clinicwave", "--group", "ward 3", ANNA))
    assert done(cwctl("groups", "list", "--tenant", "clinicwave")).strip() == "ward 3  roles nurse  permissions files:read,files:write  third floor"
    assert done(cwctl("groups", "members", "--tenant", "clinicwave", "ward 3")).strip() == ANNA
    assert "nurse" in door.userinfo(door.login().tokens["access_token"]).tokens["roles"]
    done(cwctl("groups", "leave", "--tenant", "clinicwave", "--group", "ward 3", ANNA))
    refused(cwctl("groups", "leave", "--tenant", "clinicwave", "--group", "ward 3", ANNA), "not_found")
    done(cwctl("groups", "remove", "--tenant", "clinicwave", "ward 3"))
    assert not done(cwctl("groups", "list", "--tenant", "clinicwave")).strip()


def test_sessions_are_listed_and_everything_can_be_revoked(cwctl, authsvc):
    door = Rest(authsvc)
    a, b = door.login().tokens, door.login().tokens
    listed = done(cwctl("users", "sessions", "--tenant", "clinicwave", ANNA))
    assert a["session_id"] in listed and re.search(r"since 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ  used 20\d\d-", listed), listed
    assert done(cwctl("revoke", "--tenant", "clinicwave", "--session", a["session_id"])) == "revoked; 1 sessions ended\n"
    refused(cwctl("revoke", "--tenant", "clinicwave", "--session", a["session_id"]), "not_found")
    assert done(cwctl("revoke", "--tenant", "clinicwave", "--jti", "x")) == "revoked; 0 sessions ended\n"
    assert cwctl("revoke", "--tenant", "clinicwave", "--jti", "").returncode == 64
    subject = cwctl.json("users", "show", "--tenant", "clinicwave", ANNA)["user"]["subject"]
    assert done(cwctl("revoke", "--tenant", "clinicwave", "--subject", subject)) == "revoked; 1 sessions ended\n"
    assert door.refresh(b["refresh_token"]).reason == "refresh_invalid"
    c = door.login().tokens
    assert done(cwctl("revoke", "--tenant", "clinicwave")) == "revoked; 1 sessions ended\n"
    assert door.userinfo(c["access_token"]).reason == "token_revoked"


def test_signing_keys_are_listed(cwctl):
    assert "  ES256  active  " in done(cwctl("signing-keys", "list", "--tenant", "other"))


def test_without_authsvc_nothing_is_decided(cwctl, authsvc):
    authsvc.stop()
    refused(cwctl("tenants", "list"), "authsvc-admin.sock", code=2)


@only_root
def test_another_user_may_not(cwctl, authsvc, directory):
    directory.chmod(0o755)
    shutil.copy(program("cwctl/cwctl"), directory / "cwctl")
    r = subprocess.run([directory / "cwctl", "tenants", "list"], env={"CW_RUN_DIR": str(directory)}, user="nobody", capture_output=True,
                       text=True, timeout=60)
    assert r.returncode == 2 and "may not" in r.stderr, r.stderr
