"""Verifies a request as receivers do, with the library of Standard Webhooks: the secret is the argument, the request a line
of JSON on stdin."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

told = json.load(sys.stdin)
try:
    Webhook(sys.argv[1]).verify(told["body"], told["headers"])
except WebhookVerificationError as error:
    print(f"refused: {error}")
else:
    print("verified")
