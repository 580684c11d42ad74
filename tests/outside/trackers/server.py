"""A stand-in for the server of Weights & Biases on this machine: as much of it as `wandb sync` asks for.

What it is told goes into one JSON file: for each run its rows, its summary and whether it ended, the files that came, and
every artifact with what it is to which run.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.runs = {}
        self.artifacts = {}
        self.uses = []
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """A client that went away is no news."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def run(self, name):
        empty = {"rows": {}, "summary": {}, "files": {}, "config": {}, "complete": None, "exitcode": None}
        return self.runs.setdefault(name, empty)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def do_GET(self):
        self.answer({})

    def do_PUT(self):
        body = self.body()
        found = re.fullmatch(r"/upload/([^/]+)/(.+)", self.path)
        with self.server.lock:
            if found:
                self.server.run(found[1])["files"][found[2]] = body.decode(errors="replace")
        self.answer({})

    def do_POST(self):
        body = self.body()
        with self.server.lock:
            if self.path == "/graphql":
                return self.answer({"data": self.graphql(json.loads(body))})
            found = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
            if found:
                self.file_stream(self.server.run(found[1]), json.loads(body))
        # What wandb measures of itself is nothing to this server.
        self.answer({}, 200 if found else 404)

    def file_stream(self, run, body):
        for name, chunk in (body.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                for at, line in enumerate(chunk["content"], chunk["offset"]):
                    run["rows"][at] = json.loads(line, parse_constant=str)
            elif name == "wandb-summary.json":
                run["summary"] = json.loads(chunk["content"][-1], parse_constant=str)
        for field in ("complete", "exitcode"):
            if body.get(field) is not None:
                run[field] = body[field]

    def graphql(self, body):
        name = body.get("operationName") or re.search(r"(?:query|mutation)\s+(\w+)", body["query"])[1]
        variables = body.get("variables") or {}
        variables = {**variables, **(variables.get("input") or {})}
        self.server.asked.append(name)
        handler = getattr(self, name, None)
        return handler(variables) if handler else {}

    def Viewer(self, _):
        return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}

    def ServerFeaturesQuery(self, _):
        return {"serverInfo": {"features": []}}

    def RunResumeStatus(self, variables):
        run = self.server.runs.get(variables["name"])
        bucket = run and {
            "id": "b",
            "name": variables["name"],
            "summaryMetrics": json.dumps(run["summary"]),
            "displayName": "",
            "logLineCount": 0,
            "historyLineCount": len(run["rows"]),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(run["rows"][max(run["rows"])])] if run["rows"] else []),
            "eventsTail": "[]",
            "config": json.dumps(run["config"]),
            "tags": [],
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}, "bucket": bucket}}

    def UpsertBucket(self, variables):
        name = variables.get("name")
        run = self.server.run(name)
        for field in ("displayName", "groupName", "jobType", "tags", "notes"):
            if variables.get(field):
                run[field] = variables[field]
        run["config"].update(json.loads(variables.get("config") or "{}"))
        project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "me"}}
        bucket = {
            "id": "b",
            "name": name,
            "displayName": run.get("displayName"),
            "description": "",
            "config": None,
            "sweepName": None,
            "historyLineCount": None,
            "project": project,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": len(run["rows"]) == 0}}

    def CreateRunFiles(self, variables):
        run = variables.get("run") or variables.get("runName")
        url = f"{self.server.url}/upload/{run}"
        files = [{"name": name, "uploadUrl": f"{url}/{name}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def CreateArtifact(self, variables):
        collection = variables["artifactCollectionName"]
        artifact_id = f"{collection}@{variables['digest']}"
        known = self.server.artifacts.get(artifact_id)
        artifact = {
            "type": variables["artifactTypeName"],
            "name": collection,
            "digest": variables["digest"],
            "made_by": variables.get("runName"),
            "state": "PENDING",
        }
        artifact = self.server.artifacts.setdefault(artifact_id, artifact)
        if known and variables.get("runName"):
            artifact["made_by"] = variables["runName"]
        sequence = {"id": collection, "latestArtifact": None}
        answer = {"id": artifact_id, "state": artifact["state"], "artifactSequence": sequence}
        return {"createArtifact": {"artifact": answer}}

    def CreateArtifactManifest(self, variables):
        upload = {"uploadUrl": f"{self.server.url}/manifest", "uploadHeaders": []}
        file = {"id": "f", "name": "wandb_manifest.json", "displayName": "wandb_manifest.json", **upload}
        return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}

    def CommitArtifact(self, variables):
        artifact = self.server.artifacts[variables["artifactID"]]
        artifact["state"] = "COMMITTED"
        return {"commitArtifact": {"artifact": {"id": variables["artifactID"], "digest": artifact["digest"]}}}

    def UseArtifact(self, variables):
        self.server.uses.append([variables["runName"], variables["artifactID"]])
        return {"useArtifact": {"artifact": {"id": variables["artifactID"], "digest": ""}}}


def main():
    """Serves until its input ends; then says what it was told."""
    import sys

    server = Server()
    print(server.url, flush=True)
    sys.stdin.read()
    with server.lock:
        fields = ("runs", "artifacts", "uses", "asked")
        print(json.dumps({name: getattr(server, name) for name in fields}))


if __name__ == "__main__":
    main()
