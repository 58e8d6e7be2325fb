"""What schemathesis loads: each request that needs a token has one of a session of its own, since another may have ended the last one."""
import os

import requests
import schemathesis


@schemathesis.auth(refresh_interval=None)
class Login:
    def get(self, case, context):
        answer = requests.post(os.environ["LOGIN_URL"], json={"username": os.environ["LOGIN_USERNAME"], "password": os.environ["LOGIN_PASSWORD"]},
                               headers={"Host": os.environ["LOGIN_HOST"]}, timeout=60)
        answer.raise_for_status()
        return answer.json()["access_token"]

    def set(self, case, data, context):
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
