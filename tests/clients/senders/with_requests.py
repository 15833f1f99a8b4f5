"""Sends a plan of requests with `requests` and urllib3's `Retry`. usage: URL PLAN OUT ROUNDS

`Retry` covers what goes wrong before `requests` has the head of an answer. What comes after is the
caller's to repeat, with the same key: a body that breaks off, and a head that does, which Python's
http.client takes for a whole one.
"""

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from caller import HEADERS, run

retry = Retry(
    total=40,
    allowed_methods={"POST"},
    status_forcelist={429, 500, 502, 503, 504},
    backoff_factor=0.02,
    backoff_max=0.5,
    raise_on_status=False,
)
session = requests.Session()
session.trust_env = False
session.mount("http://", HTTPAdapter(max_retries=retry, pool_maxsize=16))


def send(url, key, body):
    headers = HEADERS | {"Idempotency-Key": key}
    response = session.post(url, data=body.encode(), headers=headers, timeout=30)
    # Values of one name are apart only below `requests`.
    return response.status_code, list(response.raw.headers.items()), response.content


run(send, requests.exceptions.RequestException)
