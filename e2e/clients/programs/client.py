# usage: client.py BASE OPERATION LIBRARY
import hashlib, sys, time

base, operation, library = sys.argv[1:4]
JSON, BYTES = {"Content-Type": "application/json"}, {"Content-Type": "application/octet-stream"}


def slowly():
    for _ in range(30):
        yield bytes(65536)
        time.sleep(0.1)


requests_of = {
    "get": ("GET", "/payables?limit=2", {}, None),
    "post": ("POST", "/payables", JSON, b'{"a":1}'),
    "upload": ("POST", "/files", BYTES, bytes(1 << 20)),
    "refused": ("POST", "/refused", BYTES, slowly),
    "redirect": ("GET", "/redirect", {}, None),
}
if operation not in requests_of:
    sys.exit(77)
method, path, headers, body = requests_of[operation]
url = base + path
streamed = callable(body)


def with_urllib():
    import urllib.error, urllib.request

    if streamed:
        sys.exit(77)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=40) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def with_requests():
    import requests

    response = requests.request(method, url, headers=headers, data=body() if streamed else body, timeout=40)
    return response.status_code, response.content


def with_httpx():
    import httpx

    response = httpx.request(method, url, headers=headers, content=body() if streamed else body, timeout=40, follow_redirects=True)
    return response.status_code, response.content


def with_aiohttp():
    import aiohttp, asyncio

    async def part():
        for _ in range(30):
            yield bytes(65536)
            await asyncio.sleep(0.1)

    async def send():
        async with aiohttp.ClientSession() as session:
            async with session.request(method, url, headers=headers, data=part() if streamed else body) as response:
                return response.status, await response.read()

    return asyncio.run(send())


status, content = globals()["with_" + library]()
print(status, hashlib.sha256(content).hexdigest())
