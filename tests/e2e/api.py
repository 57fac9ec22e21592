"""The control API by curl, over HTTP/1.1 or HTTP/2, with the CA checked."""
import json
import subprocess

PROBLEM = "application/problem+json"


class Answer:
    def __init__(self, status, version, fields, body):
        self.status, self.version, self.fields, self.body = status, version, fields, body

    @property
    def json(self):
        return json.loads(self.body)

    def is_problem(self, status):
        """It is a problem document of that status that says something."""
        assert self.status == status, self
        assert self.fields["content-type"] == PROBLEM, self
        document = self.json
        assert document["status"] == status and document["title"] and "type" in document, self
        return document

    def __repr__(self):
        return f"<{self.status} HTTP/{self.version} {self.fields} {self.body[:500]!r}>"


def call(site, method, path, body=None, token=None, version="2", content_type="application/json", lines=()):
    """One request to the tunneld of the site. body: str as it is, anything else as JSON."""
    command = ["curl", "-sS", "--max-time", "30", "--cacert", str(site.ca), "-X", method, "-i",
               "--http2" if version == "2" else "--http1.1", "-w", "\n%{http_code} %{http_version}"]
    if token:
        command += ["-H", f"Authorization: Bearer {token}"]
    if body is not None:
        command += ["--data-binary", "@-", "-H", f"Content-Type: {content_type}", "-H", "Expect:"]
    for line in lines:
        command += ["-H", line]
    text = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
    data = text.encode() if isinstance(text, str) else text
    done = subprocess.run([*command, f"https://{site.control}{path}"], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    head, _, rest = done.stdout.partition(b"\r\n\r\n")
    body, _, summary = rest.rpartition(b"\n")
    status, version = summary.decode().split()
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, value = line.split(":", 1)
        fields[name.lower()] = value.strip()
    return Answer(int(status), version, fields, body.decode())


def register(site, session=None, token=None, **members):
    """POST /v1/sessions that must succeed: its JSON."""
    body = dict(members, **({"session": session} if session else {}))
    answer = call(site, "POST", "/v1/sessions", body, token=token or site.token)
    assert answer.status == 201, answer
    return answer.json
