"""A stand-in for a W&B server on loopback, which keeps what it is sent.

It answers what wandb 0.31 asks to check a key, to start or resume a run, to stream its history, to upload its files,
and to make a sweep and work for it: GraphQL queries at /graphql, told apart by the name of the operation; lines of
history at .../RUN/file_stream; and the bytes of files at the addresses that it handed out itself.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

import yaml

KEY = "0123456789" * 4
ENTITY = "someone"  # the default entity of whom KEY belongs to
SWEEP = "sweep123"
LIMITS = {"min_cli_version": "0.10.0", "max_cli_version": "9.9.9"}


@dataclass
class UploadedRun:
    """One run as the server knows it: how it was described, lines of history and of system metrics, and its files."""

    about: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows in order, without the entries that wandb adds itself."""
        rows = [json.loads(line) for line in self.lines]
        return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, without what wandb keeps there for itself."""
        given = json.loads(self.about["config"])
        return {key: value["value"] for key, value in given.items() if key != "_wandb"}

    @property
    def steps(self) -> list[int]:
        return [json.loads(line)["_step"] for line in self.lines]


class WandbServer:
    """Serves from a thread of its own while used as a context manager.

    Attributes:
        runs: The uploaded runs by their id.
        asked: The GraphQL operations in the order in which they came.
        resumed: The ids that were asked for to be resumed.
        views: The saved views of the project.
        sweep: The sweep that was made: its file as YAML.
        parameters: What its agents are still to be given, a run at a time.
        refused: How many requests came with a wrong key.
        refuses: How it answers a wrong key: "401", as an HTTP error, or "nobody", as a viewer that is null.
    """

    def __init__(self, refuses: str = "401") -> None:
        self.runs: dict[str, UploadedRun] = {}
        self.asked: list[str] = []
        self.resumed: list[str] = []
        self.views: list[dict[str, Any]] = []
        self.sweep, self.parameters = "", list[dict[str, Any]]()
        self.refused, self.refuses = 0, refuses
        self._http = _Http(("127.0.0.1", 0), _Request)
        self._http.wandb = self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """The `data` of a GraphQL answer."""
        self.asked.append(operation)
        project = {"id": "project", "name": given.get("project"), "entity": {"id": "entity", "name": ENTITY}}
        if operation == "UpsertBucket":
            run_id, new = given["name"], given["name"] not in self.runs
            run = self.runs.setdefault(run_id, UploadedRun())
            run.about |= {key: value for key, value in given.items() if value is not None}
            project["entity"]["name"] = given.get("entity") or ENTITY
            bucket = {"id": run_id, "name": run_id, "displayName": run.about.get("displayName"), "project": project}
            bucket |= {"config": "{}", "historyLineCount": 0, "sweepName": None}  # asked to resume, it said so before
            return {"upsertBucket": {"bucket": bucket, "inserted": new}}
        if operation == "RunResumeStatus":
            run_id = given["name"]
            self.resumed.append(run_id)
            return {"model": project | {"bucket": self._state(run_id) if run_id in self.runs else None}}
        if operation == "CreateRunFiles":
            places = [{"name": name, "uploadUrl": f"{self.url}/put/{given['run']}/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": given["run"], "uploadHeaders": [], "files": places}}
        if operation == "UpsertView2":
            self.views.append(given)
            return {"upsertView": {"view": {"id": "view", "name": given["name"]}, "inserted": True}}
        if operation == "UpsertSweep":
            self.sweep = given["config"]
            project |= {"name": given["projectName"]}
            return {"upsertSweep": {"sweep": {"name": SWEEP, "project": project}, "configValidationWarnings": []}}
        if operation == "SweepWithRuns":
            return {"project": {"sweep": {"id": SWEEP, "name": SWEEP, "config": self.sweep, "runs": {"edges": []}}}}
        if operation == "CreateAgent":
            return {"createAgent": {"agent": {"id": "agent"}}}
        if operation == "Heartbeat":
            commands = [] if json.loads(given["runState"]) else [self._next_run()]
            return {"agentHeartbeat": {"agent": {"id": "agent"}, "commands": json.dumps(commands)}}
        viewer = {"id": "user", "entity": ENTITY, "username": ENTITY, "email": "", "flags": "{}"}
        viewer |= {"teams": {"edges": []}, "defaultEntity": {"id": "entity", "name": ENTITY}}
        return {"viewer": viewer, "serverInfo": {"cliVersionInfo": LIMITS, "features": []}}

    def _next_run(self) -> dict[str, Any]:
        if not self.parameters:
            return {"type": "exit"}
        run_id, values = f"agents{len(self.runs)}", self.parameters.pop(0)
        self.runs[run_id] = UploadedRun()  # before anything of it arrives
        arguments = {name: {"value": value} for name, value in values.items()}
        return {"type": "run", "run_id": run_id, "program": yaml.safe_load(self.sweep)["program"], "args": arguments}

    def _state(self, run_id: str) -> dict[str, Any]:
        run = self.runs[run_id]
        tail = json.dumps(run.lines[-1:])
        counts = {"historyLineCount": len(run.lines), "logLineCount": 0, "eventsLineCount": 0}
        state = {"id": run_id, "name": run_id, "displayName": run.about.get("displayName"), "tags": []}
        state |= {"config": "{}", "wandbConfig": '{"t": 1}', "summaryMetrics": "{}"}
        return state | counts | {"historyTail": tail, "eventsTail": "[]"}


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    wandb: WandbServer

    def handle_error(self, *_: object) -> None:
        """A client that ends at once drops its connections; that is no fault of the test."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    allowed: ClassVar[str] = "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()
    server: _Http

    def do_POST(self) -> None:
        document, wandb = json.loads(self._body()), self.server.wandb
        if self.headers.get("Authorization") != self.allowed:
            wandb.refused += 1
            refused = {"errors": [{"message": "invalid API key"}]} if wandb.refuses == "401" else {}
            self._reply(refused | {"data": {"viewer": None}}, status=401 if wandb.refuses == "401" else 200)
        elif self.path.endswith("/graphql"):
            named = re.search(r"(?:query|mutation)\s+(\w+)", document["query"])
            operation = named[1] if named else ""
            self._reply({"data": wandb.answer(operation, document.get("variables") or {})})
        else:
            run = wandb.runs[self.path.split("/")[-2]]
            for name, lines in (("wandb-history.jsonl", run.lines), ("wandb-events.jsonl", run.events)):
                if sent := document.get("files", {}).get(name):
                    # From the first line on, as from a run that is not resumed, it replaces all there was.
                    lines[sent["offset"] :] = sent["content"]
            self._reply({})

    def do_PUT(self) -> None:
        run_id, name = self.path.removeprefix("/put/").split("/", 1)
        self.server.wandb.runs[run_id].files[unquote(name)] = self._body()
        self._reply({})

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, document: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
