import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from libs.platforms.base import AccountType, Headers, SignatureVerdict, Webhooks
from libs.platforms.meta.webhooks import ACCOUNT_TYPES, MetaWebhooks
from tests.libs.platforms.conformance import WebhooksConformance
from tests.support.meta_recorded import bodies

HEX = b"a" * 64


class TestMetaKeepsWhatAllWebhooksMustKeep(WebhooksConformance):
    def webhooks(self) -> Webhooks:
        return MetaWebhooks()

    def account_types(self) -> Mapping[str, AccountType]:
        return ACCOUNT_TYPES

    def sign(self, body: bytes, secret: bytes) -> Headers:
        digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
        return [(b"host", b"example.com"), (b"x-hub-signature-256", b"sha256=" + digest.encode())]

    def deliveries(self) -> Sequence[bytes]:
        return bodies()

    def malformed_headers(self) -> Sequence[tuple[Headers, SignatureVerdict]]:
        name = b"x-hub-signature-256"
        return [
            ([(name, b"")], "malformed"),
            ([(name, HEX)], "malformed"),
            ([(name, b"sha256=" + HEX[:-1])], "malformed"),
            ([(name, b"sha256=" + HEX + b"a")], "malformed"),
            ([(name, b"sha256= " + HEX[:-1])], "malformed"),
            ([(name, b"sha256=" + HEX + b"\n")], "malformed"),
            ([(name, b"sha256=" + b"g" * 64)], "malformed"),
            ([(name, b"sha256=" + HEX), (name, b"sha256=" + HEX)], "malformed"),
            ([(name, b"sha256=" + HEX + b", sha256=" + HEX)], "malformed"),
            ([(name, b"sha1=" + b"a" * 40)], "wrong_kind"),
            ([(name, b"sha512=" + b"a" * 128)], "wrong_kind"),
            ([(b"x-hub-signature", b"sha1=" + b"a" * 40)], "wrong_kind"),
            ([(b"x-hub-signature", b"sha256=" + HEX)], "wrong_kind"),
        ]

    def unknown_shapes(self) -> Sequence[bytes]:
        return [
            b"{}",
            b"[[]]",
            b"[1]",
            b'{"object":"page"}',
            b'{"object":"page","entry":{}}',
            b'{"object":"page","entry":[1]}',
            b'{"object":"page","entry":[{"id":"1"}]}',
            b'{"object":"page","entry":[{"changes":[{"field":"feed","value":{}}]}]}',
            b'{"object":"page","entry":[{"id":{"a":1},"changes":[{"field":"feed","value":{}}]}]}',
            b'{"object":"page","entry":[{"id":true,"changes":[{"field":"feed","value":{}}]}]}',
            b'{"object":"page","entry":[{"id":"1\\u0000","changes":[{"field":"feed","value":{}}]}]}',
            b'{"object":"page","entry":[{"id":"1","changes":[{"value":{}}]}]}',
            b'{"object":"page","entry":[{"id":"1","changes":[7]}]}',
            b'{"object":"a b","entry":[{"id":"1","changes":[]}]}',
            b'{"object":null,"entry":[]}',
            b'{"object":"page","entry":[{"id":"1","messaging":[[]]}]}',
            b'{"values":1}',
            b'{"target_id":"1","values":{"value":{}}}',
            b'{"values":{"field":"replies","value":{}}}',
        ]

    def handshake(self, token: bytes, challenge: bytes) -> bytes:
        asked = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": token}
        return urlencode(asked).encode()
