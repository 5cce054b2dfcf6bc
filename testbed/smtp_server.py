#!/usr/bin/python3
"""A real SMTP server for tests and the demo: Debian's aiosmtpd with STARTTLS and AUTH, that can be told to misbehave.

    smtp_server.py DIRECTORY PORT          (PORT 0: any free one)

DIRECTORY holds cert.pem, key.pem and behaviour.json, which is read anew at each connection. Each mail that is taken
becomes NNNN.eml there, byte for byte, after NNNN.json with its envelope. Prints "PORT TLS_PORT" when it listens, on
loopback only, and ends when its standard input does. It delivers nothing to anybody and is no mail server for people.
"""
import asyncio
import json
import pathlib
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, syntax

LOOPBACK = "127.0.0.1"
# Longer than any test waits.
FOR_EVER_S = 3600
# Whom no server of ours knows.
NOBODY = "nobody@"
# A mail with an invoice has some 100 kB.
SIZE_MAX = 32 * 1024 * 1024


class Box:
    """What all connections share: where mails go, and how often a client was put off."""

    def __init__(self, directory):
        self.directory = directory
        self.put_off = 0
        self.taken = len(list(directory.glob("*.eml")))

    def behaviour(self):
        return json.loads((self.directory / "behaviour.json").read_text())

    def keep(self, server, session, envelope):
        self.taken += 1
        stem = self.directory / f"{self.taken:04}"
        facts = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "over_tls": server.transport.get_extra_info("sslcontext") is not None,
            "user": session.auth_data,
        }
        stem.with_suffix(".json").write_text(json.dumps(facts))
        # Whoever sees the mail sees it whole.
        partial = stem.with_suffix(".partial")
        partial.write_bytes(envelope.original_content)
        partial.rename(stem.with_suffix(".eml"))


class Handler:
    """What is answered to a client, by the behaviour at the time of its connection."""

    def __init__(self, box, behaviour):
        self.box = box
        self.behaviour = behaviour

    async def handle_RCPT(self, server, session, envelope, address, options):
        kind = self.behaviour["kind"]
        if kind == "greylisting" and self.box.put_off < self.behaviour["times"]:
            self.box.put_off += 1
            return "451 4.7.1 Greylisted, please try again later"
        if kind == "refusing" or address.startswith(NOBODY):
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        kind = self.behaviour["kind"]
        if kind == "slow":
            await asyncio.sleep(FOR_EVER_S)
        if kind == "refusing_content":
            return "554 5.7.1 Message content rejected"
        self.box.keep(server, session, envelope)
        if kind == "silent_after_taking":
            server.transport.abort()
        return "250 2.0.0 Taken"


class Server(SMTP):
    """aiosmtpd, able to die in the middle of a mail."""

    @syntax("DATA")
    async def smtp_DATA(self, arg):
        if self.event_handler.behaviour["kind"] != "dying_in_data":
            return await super().smtp_DATA(arg)
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        await self._reader.readline()
        self.transport.abort()


def server_factory(box, context, is_implicit):
    """Makes the protocol of one connection."""

    def check(server, session, envelope, mechanism, auth_data):
        kind = box.behaviour()["kind"]
        expected = (box.directory / "login").read_bytes().split(b"\n")
        given = [auth_data.login, auth_data.password]
        if kind == "refusing_auth" or given != expected:
            return AuthResult(success=False, handled=False)
        return AuthResult(success=True, auth_data=auth_data.login.decode("utf-8", "replace"))

    def make():
        behaviour = box.behaviour()
        plain = behaviour["kind"] == "without_starttls"
        starttls = not plain and not is_implicit
        return Server(
            Handler(box, behaviour),
            hostname="localhost",
            ident="weir testbed",
            data_size_limit=SIZE_MAX,
            enable_SMTPUTF8=True,
            tls_context=context if starttls else None,
            require_starttls=starttls,
            # aiosmtpd takes a connection that is TLS from its first byte for plain.
            auth_require_tls=starttls,
            auth_required=not plain,
            authenticator=check,
        )

    return make


async def main(directory, port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    box = Box(directory)
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(server_factory(box, context, False), LOOPBACK, port)
    implicit = await loop.create_server(server_factory(box, context, True), LOOPBACK, 0, ssl=context)
    ports = [listener.sockets[0].getsockname()[1] for listener in (plain, implicit)]
    print(*ports, flush=True)
    # Our parent holds the other end: when it is gone, however it ended, so are we.
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
