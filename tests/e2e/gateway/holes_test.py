"""nginx has ways around its access phase; none of them leads into a ruled location."""
import pytest

RULED = "location /secret/ { cw_auth required; proxy_pass http://@SERVICE@; }"


def reached(service, path):
    return [r for r in service.requests if r["path"].startswith(path)]


def header(seen, name):
    return [v for k, v in seen["headers"] if k.lower() == name.lower()]


@pytest.fixture
def pages(directory):
    (directory / "html").mkdir()
    (directory / "html/page.shtml").write_text('<!--#include virtual="/secret/x" -->')
    return directory / "html"


def test_an_ssi_include_does_not_reach_a_ruled_location(nginx, judge, service, pages):
    g = nginx(RULED + "location /pages/ { alias @DIR@/html/; ssi on; default_type text/html; }")
    g.get("/pages/page.shtml", "good", headers={"X-Auth-Subject": "root"})
    assert not reached(service, "/secret/")


def test_an_ssi_include_under_the_same_rule_does(nginx, judge, service, pages):
    g = nginx(RULED + "location /pages/ { cw_auth required; alias @DIR@/html/; ssi on; default_type text/html; }")
    assert g.get("/pages/page.shtml", "good", headers={"X-Auth-Subject": "root"}).status == 200
    [seen] = reached(service, "/secret/")
    assert header(seen, "X-Auth-Subject") == ["anna"]
    assert g.get("/pages/page.shtml").status == 401
    assert len(reached(service, "/secret/")) == 1


def test_an_ssi_include_under_another_rule_does_not(nginx, judge, service, pages):
    g = nginx(RULED.replace("required;", "required; cw_role admin;") + "location /pages/ { cw_auth required; alias @DIR@/html/; ssi on; default_type text/html; }")
    g.get("/pages/page.shtml", "good")
    assert not reached(service, "/secret/")


def test_a_mirror_does_not_reach_a_ruled_location(nginx, judge, service):
    g = nginx(RULED + "location /open/ { cw_auth off; mirror /secret/m; proxy_pass http://@SERVICE@; }")
    assert g.get("/open/x", headers={"X-Auth-Subject": "root"}).status == 200
    assert not reached(service, "/secret/")


def test_a_mirror_of_a_ruled_request_gets_no_authorization(nginx, judge, service):
    from tests.support.programs import until
    g = nginx("location /a/ { cw_auth required; cw_authorization pass; mirror /m/x; proxy_pass http://@SERVICE@; }"
              "location /m/ { internal; cw_auth off; proxy_pass http://@SERVICE@; }")
    assert g.get("/a/x", "good").reached("Authorization") == ["Bearer good"]
    seen = until("the mirror is reached", lambda: reached(service, "/m/"))[0]
    assert header(seen, "Authorization") == [] and header(seen, "X-Auth-Subject") == []


def test_auth_request_does_not_reach_a_ruled_location(nginx, judge, service):
    g = nginx(RULED + "location /open/ { cw_auth off; auth_request /secret/a; proxy_pass http://@SERVICE@; }")
    assert g.get("/open/x").status == 403
    assert not service.requests


def test_try_files_into_a_ruled_location_is_decided_there(nginx, judge, service):
    g = nginx(RULED + "location / { root @DIR@; try_files $uri /secret/fallback; }")
    assert g.get("/none", headers={"X-Auth-Subject": "root"}).status == 401
    assert not service.requests
    assert g.get("/none", "good").reached("X-Auth-Subject") == ["anna"]


def test_an_error_page_in_a_ruled_location_is_decided_there(nginx, judge, service):
    g = nginx(RULED + "location / { root @DIR@; error_page 404 = /secret/lost; }")
    assert g.get("/none").status == 401
    assert not service.requests
    assert g.get("/none", "good").status == 200


def test_a_named_location_is_decided(nginx, judge, service):
    g = nginx("location / { root @DIR@; error_page 404 = @secret; } location @secret { cw_auth required; proxy_pass http://@SERVICE@; }")
    assert g.get("/none", headers={"X-Auth-Subject": "root"}).status == 401
    assert not service.requests
    assert g.get("/none", "good").reached("X-Auth-Subject") == ["anna"]


def test_a_refused_request_does_not_slip_through_its_error_page(nginx, judge, service):
    g = nginx("location /a/ { cw_auth required; error_page 401 = /b/x; proxy_pass http://@SERVICE@; }"
              "location /b/ { cw_auth required; cw_role admin; proxy_pass http://@SERVICE@; }")
    assert g.get("/a/x").status == 401
    assert not service.requests


def test_x_accel_redirect_into_a_ruled_location_is_decided_there(nginx, judge, service):
    g = nginx(RULED + "location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }")
    service.reply = lambda seen: (200, {"X-Accel-Redirect": "/secret/x"}, b"") if seen["path"] == "/open/x" else (200, {}, None)
    assert g.get("/open/x").status == 401
    assert not reached(service, "/secret/")
    r = g.get("/open/x", "good")
    assert r.status == 200 and r.reached("X-Auth-Subject") == ["anna"]


def test_an_identity_does_not_follow_into_the_next_location(nginx, judge, service):
    g = nginx("location /a/ { cw_auth required; cw_authorization pass; proxy_pass http://@SERVICE@; }"
              "location /open/ { cw_auth off; proxy_pass http://@SERVICE@; }")
    service.reply = lambda seen: (200, {"X-Accel-Redirect": "/open/x"}, b"") if seen["path"] == "/a/x" else (200, {}, None)
    r = g.get("/a/x", "good")
    assert r.json["path"] == "/open/x"
    assert r.reached("X-Auth-Subject") == [] and r.reached("Authorization") == []
    assert len(r.reached("X-Request-Id")) == 1


def test_an_identity_does_not_come_back_with_another_token(nginx, judge, service):
    """Allowed under one rule, sent on to another that reads a cookie which is no token, and by its error page back under the first."""
    g = nginx("location /a/ { cw_auth required; cw_authorization pass; proxy_pass http://@SERVICE@; }"
              "location /b/ { cw_auth required; cw_role doctor; cw_token_from cookie __Host-token; error_page 400 401 = /a/again; proxy_pass http://@SERVICE@; }")
    service.reply = lambda seen: (200, {"X-Accel-Redirect": "/b/x"}, b"") if seen["path"] == "/a/x" else (200, {}, None)
    r = g.get("/a/x", "good", headers={"Cookie": "__Host-token=no%token"})
    assert r.json["path"] == "/a/again"
    assert r.reached("X-Auth-Subject") == ["anna"] and r.reached("Authorization") == ["Bearer good"]


def test_a_rewrite_into_a_ruled_location_is_decided_there(nginx, judge, service):
    g = nginx(RULED + "location /open/ { cw_auth off; rewrite ^/open/(.*) /secret/$1 last; }")
    assert g.get("/open/x").status == 401
    assert not service.requests


def test_limit_except_can_only_ask_for_more(nginx, judge, service):
    g = nginx("location /a/ { cw_auth required; limit_except GET { cw_scope write; } proxy_pass http://@SERVICE@; }")
    assert g.get("/a/x", "good").status == 200
    assert list(judge.rules[judge.seen[-1].rule].requirement.scopes_all) == []
    assert g.get("/a/x", "good", method="POST", body=b"x").status == 200
    assert list(judge.rules[judge.seen[-1].rule].requirement.scopes_all) == ["write"]
    assert g.get("/a/x", method="POST", body=b"x").status == 401


def test_an_if_block_keeps_the_rule(nginx, judge, service):
    g = nginx('location /a/ { cw_auth required; if ($arg_x) { set $y 1; } proxy_pass http://@SERVICE@; }')
    assert g.get("/a/x?x=1").status == 401
    assert g.get("/a/x?x=1", "good").reached("X-Auth-Subject") == ["anna"]


@pytest.mark.parametrize("server, says", [
    ("location /a/ { proxy_pass http://@SERVICE@; }", "no rule"),
    ("location /a/ { cw_auth off; proxy_pass http://@SERVICE@; } location /b/ { location /b/c/ { proxy_pass http://@SERVICE@; } }", "no rule"),
    ("location @named { proxy_pass http://@SERVICE@; }", "no rule"),
    ("location /a/ { if ($arg_x) { proxy_pass http://@SERVICE@; } }", "no rule"),
    ("location /a/ { limit_except GET { proxy_pass http://@SERVICE@; } }", "no rule"),
    ("location /a/ { grpc_pass grpc://@SERVICE@; }", "no rule"),
    ("location /a/ { fastcgi_pass @SERVICE@; }", "no rule"),
    ("location ~ ^/r { proxy_pass http://@SERVICE@; }", "no rule"),
    ("location /a/ { cw_auth required; satisfy any; proxy_pass http://@SERVICE@; }", "satisfy any"),
    ("satisfy any; location /a/ { cw_auth optional; proxy_pass http://@SERVICE@; }", "satisfy any"),
    ("location /a/ { cw_auth required; return 200 x; }", "return"),
    ("location /a/ { cw_auth required; if ($arg_x) { return 200 x; } proxy_pass http://@SERVICE@; }", "return"),
    ("location /a/ { cw_auth required; set $x 1; rewrite ^/q /r; if ($x) { set $y $x$uri; return 302 /; } }", "return"),
    ("location /a/ { if ($arg_x) { cw_auth off; } }", "not allowed here"),
    ("location /a/ { limit_except GET { cw_auth off; } }", "not allowed here"),
    ("location /a/ { cw_scope a; }", "no \"cw_auth\""),
    ("location /a/ { cw_auth required; cw_undecided anonymous; proxy_pass http://@SERVICE@; }", "cw_undecided"),
    ("location /a/ { cw_auth required; cw_timeout 0; proxy_pass http://@SERVICE@; }", "cw_timeout"),
    ("location /a/ { cw_auth off; cw_strip_prefix a/; proxy_pass http://@SERVICE@; }", "cw_strip_prefix"),
    ("location /a/ { cw_auth optional; cw_token_from cookie token; proxy_pass http://@SERVICE@; }", "__Host-"),
    ("location /a/ { cw_auth sometimes; }", "invalid value"),
    ("location /a/ { cw_auth off; cw_realm 'a\"b'; }", "has a quote"),
    ("location /a/ { cw_auth off; cw_claim_header X-Auth-Subject email; }", "the gateway itself sends"),
    ("location /a/ { cw_auth off; cw_claim_header authorization email; }", "the gateway itself sends"),
    ("location /a/ { cw_auth off; cw_claim_header Content-Length size; }", "the gateway itself sends"),
])
def test_nginx_refuses_a_configuration_with_a_hole(nginx_check, server, says):
    accepted, text = nginx_check(server)
    assert not accepted and says in text


@pytest.mark.parametrize("server", [
    "location /a/ { cw_auth off; satisfy any; return 200 x; }",
    "location / { return 404; }",
    "location /a/ { cw_auth off; cw_realm 'The files, please'; cw_claim_header X-Auth-Email email; proxy_pass http://@SERVICE@; }",
    "cw_auth required; location /a/ { proxy_pass http://@SERVICE@; location /a/b/ { proxy_pass http://@SERVICE@; } }",
    "cw_auth required; location /a/ { limit_except GET { deny all; } proxy_pass http://@SERVICE@; }",
])
def test_nginx_accepts_one_without(nginx_check, server):
    accepted, text = nginx_check(server)
    assert accepted, text
