"""Sends one POST by urllib3 or requests, which repeat as their Retry says."""
import sys

from urllib3.util.retry import Retry

retry = Retry(total=3, allowed_methods=None, status_forcelist=[500, 502, 503, 504], backoff_factor=0.01, raise_on_status=False)
library, url = sys.argv[1:]
try:
    if library == "urllib3":
        import urllib3

        print(urllib3.PoolManager(retries=retry, timeout=0.4).request("POST", url, body=b"{}").status)
    else:
        import requests
        from requests.adapters import HTTPAdapter

        session = requests.Session()
        session.mount("http://", HTTPAdapter(max_retries=retry))
        print(session.post(url, data=b"{}", timeout=0.4).status_code)
except Exception as e:  # it gives up: that is what is tested
    print(type(e).__name__, e)
