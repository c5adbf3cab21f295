#!/usr/bin/env python3
"""moto's S3 and Glue in memory on a free port of 127.0.0.1, with a log of their requests and faults on demand.

    s3_server.py PORT-FILE      writes its port to PORT-FILE once it listens

Glue is made as strict as the service (strict_glue.py).

POST /-/faults   a JSON rule: {"match": REGEX, "status": 503, "times": 1, "after": false, "drop": false}. A request whose
                 `METHOD /path?query` (percent-encoded as it came) fits from its start is answered with the status; with
                 "after" it is carried out first; with "drop" the connection is closed without an answer. A call of Glue is
                 `GLUE Operation`, and "error" the name that it is answered with; its status is 400 unless said.
GET  /-/log?TEXT the requests whose path begins with /TEXT, in their order, one JSON object a line: method, path, query,
                 status, and those headers that ask for a condition or for encryption; calls of Glue are GLUE /Operation
"""
import json
import os
import re
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

import strict_glue

LOCK = threading.Lock()
RULES, LOG = [], []
HEADERS = re.compile(r"HTTP_(IF_(NONE_)?MATCH|X_AMZ_SERVER_SIDE_ENCRYPTION.*)")


def answer(start, body=b"", status="200 OK", kind="application/json"):
    start(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def rule_for(request):
    with LOCK:
        for rule in RULES:
            if rule.get("times", 1) > 0 and re.match(rule["match"], request):
                rule["times"] = rule.get("times", 1) - 1
                return rule
    return None


def control(env, start):
    if env["REQUEST_METHOD"] == "POST":
        rule = json.loads(env["wsgi.input"].read(int(env["CONTENT_LENGTH"])))
        with LOCK:
            RULES.append(rule)
        return answer(start)
    with LOCK:
        lines = [json.dumps(entry) for entry in LOG if entry["path"].startswith("/" + env["QUERY_STRING"])]
    return answer(start, "\n".join(lines).encode())


def glue_operation(env):
    """What Glue is asked to do, if it is Glue that is asked."""
    service, _, operation = env.get("HTTP_X_AMZ_TARGET", "").partition(".")
    return operation if service == "AWSGlue" else None


def refusal(rule, start, is_glue):
    if is_glue:
        error = json.dumps({"__type": rule.get("error", "InternalServiceException"), "Message": "injected"}).encode()
        return answer(start, error, f"{rule['status']} Injected", "application/x-amz-json-1.1")
    error = b"<?xml version='1.0'?><Error><Code>Injected</Code><Message>injected</Message></Error>"
    return answer(start, error, f"{rule['status']} Injected", "application/xml")


def drop(env, start):
    start("500 Dropped", [("Content-Length", "0"), ("Connection", "close")])
    env["werkzeug.socket"].shutdown(2)
    return []


def application(inner):
    def run(env, start):
        path, _, query = env["REQUEST_URI"].partition("?")
        if path.startswith("/-/"):
            return control(env, start)
        entry, asked = {"method": env["REQUEST_METHOD"], "path": path, "query": query}, f"{env['REQUEST_METHOD']} {env['REQUEST_URI']}"
        if operation := glue_operation(env):
            entry, asked = {"method": "GLUE", "path": f"/{operation}", "query": ""}, f"GLUE {operation}"
        entry["headers"] = {k[5:].lower().replace("_", "-"): v for k, v in env.items() if HEADERS.fullmatch(k)}
        rule = rule_for(asked)
        with LOCK:
            LOG.append(entry)

        def noted(status, headers, error=None):
            entry["status"] = int(status[:3])
            return (lambda _: None) if rule else start(status, headers, error)

        if not rule or rule.get("after"):
            body = b"".join(inner(env, noted))
        else:
            env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
        if not rule:
            return [body]
        if rule.get("drop"):
            entry["status"] = 0
            return drop(env, start)
        entry["status"] = rule.setdefault("status", 400)
        return refusal(rule, start, operation)

    return run


def main():
    strict_glue.make_strict()
    WSGIRequestHandler.log = lambda *_, **__: None
    WSGIRequestHandler.protocol_version = "HTTP/1.1"
    server = make_server("127.0.0.1", 0, application(DomainDispatcherApplication(create_backend_app)), threaded=True)
    partial = sys.argv[1] + ".partial"
    with open(partial, "w", encoding="ascii") as out:
        out.write(str(server.server_port))
    os.rename(partial, sys.argv[1])
    server.serve_forever()


if __name__ == "__main__":
    main()
