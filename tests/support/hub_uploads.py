"""What the loopback hub does with what is sent to it: repositories made, files taken, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from support.hub_server import HubServer

Answer = tuple[int, dict[str, Any]]


def key_of(kind: str, name: str) -> str:
    """What a repository is called in `HubServer.repos`."""
    return name if kind == "datasets" else f"{kind}/{name}"


def taken(hub: HubServer, path: str, data: bytes, token: str) -> Answer:
    """Status and answer to a POST or PUT."""
    if hub.status is not None:
        return hub.status, {"error": "the hub is unwell"}
    if found := re.fullmatch(r"/large/([0-9a-f]{64})", path):  # an address that was given with its right
        return _take_large(hub, found[1], data)
    owner = hub.tokens.get(token)
    if owner is None:
        return 401, {"error": "Invalid username or password."}
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}
    if path == "/api/repos/create":
        return _create(hub, owner, json.loads(data))
    found = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(preupload|commit)/(.+)", path)
    if not found:
        found = re.fullmatch(r"/(?:(datasets)/)?([^/]+/[^/]+)\.git/info/lfs/objects/(batch)", path)
    if not found:
        return 404, {"error": f"nothing at {path}"}
    key = key_of(found[1] or "models", found[2])
    if found[2].partition("/")[0] != owner:
        return 403, {"error": "You don't have the rights to write here."}
    if found[3] == "batch":
        return 200, {"objects": [_where_to(hub, one) for one in json.loads(data)["objects"]]}
    if found[3] == "preupload":
        return _modes(hub, key, json.loads(data)["files"])
    return _commit(hub, key, unquote(found[4]), [json.loads(line) for line in data.splitlines()])


def _create(hub: HubServer, owner: str, told: dict[str, Any]) -> Answer:
    if told["organization"] != owner:
        return 403, {"error": f"You don't have the rights to create a model under {told['organization']}"}
    name = f"{told['organization']}/{told['name']}"
    key = key_of("datasets" if told.get("type") == "dataset" else "models", name)
    if key in hub.repos:
        return 409, {"error": "You already created this repo", "url": f"{hub.url}/{name}"}
    hub.add(key, {})
    if told.get("visibility") == "private" or told.get("private"):
        hub.private.add(key)
    return 200, {"url": f"{hub.url}/{name}"}


def _modes(hub: HubServer, key: str, files: list[dict[str, Any]]) -> Answer:
    from support.hub_server import blob_id, is_large

    there = hub.find(key, "main") or {}
    oids = {name: blob_id(data) for name, data in there.items() if not is_large(name)}
    oids |= {name: hashlib.sha256(data).hexdigest() for name, data in there.items() if is_large(name)}
    return 200, {
        "files": [
            {
                "path": one["path"],
                "uploadMode": "lfs" if is_large(one["path"]) else "regular",
                "shouldIgnore": False,
                "oid": oids.get(one["path"]),
            }
            for one in files
        ]
    }


def _where_to(hub: HubServer, one: dict[str, Any]) -> dict[str, Any]:
    if one["oid"] in hub.large:
        return one
    return {**one, "actions": {"upload": {"href": f"{hub.url}/large/{one['oid']}"}}}


def _take_large(hub: HubServer, digest: str, data: bytes) -> Answer:
    if hashlib.sha256(data).hexdigest() != digest:
        return 400, {"error": "other bytes than announced"}
    hub.hold("taken")
    hub.large[digest] = data
    return 200, {}


def _commit(hub: HubServer, key: str, revision: str, lines: list[dict[str, Any]]) -> Answer:
    from support.hub_server import commit_of

    before = hub.find(key, revision)
    if before is None:
        return 404, {"error": "no such revision"}
    if (parent := lines[0]["value"].get("parentCommit")) not in (None, commit_of(before)):
        return 412, {"error": f"{parent} is not the newest commit"}
    files = dict(before)
    for line in lines[1:]:
        value = line["value"]
        match line["key"]:
            case "file":
                files[value["path"]] = base64.b64decode(value["content"])
            case "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
            case _:
                files.pop(value["path"])
    commit = hub.add(key, files, revision)
    hub.commits.append(key)
    return 200, {"commitUrl": f"{hub.url}/{key}/commit/{commit}", "commitOid": commit}
