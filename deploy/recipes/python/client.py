"""Python with nothing but its standard library: lists entities, creates a tag, reads it back."""

import json
import os
import sys
import urllib.request

BASE = os.environ.get("MONITE_BASE_URL", "https://api.sandbox.monite.com/v1")  # http://localhost:8080/v1


def call(method, path, body=None):
    request = urllib.request.Request(BASE + path, method=method, headers={"X-Monite-Entity-Id": os.environ["MONITE_ENTITY"]})
    # Code that insists on credentials may keep them: the sidecar removes the field.
    request.add_header("Authorization", "Bearer " + os.environ.get("MONITE_TOKEN", "none"))
    data = None
    if body is not None:
        request.add_header("Content-Type", "application/json")
        data = json.dumps(body).encode()
    # An HTTP_PROXY in the environment must not get what is meant for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, data, timeout=70) as response:
        return json.load(response)


def main():
    name = sys.argv[1]
    call("GET", "/entities?limit=1")
    tag = call("POST", "/tags", {"name": name})
    if call("GET", "/tags/" + tag["id"])["name"] != name:
        sys.exit("read back something else")
    print("created and read", name)


main()
