"""The web server: Streamlit's app plus four plain routes and a few headers.

``/invite/<token>`` and ``POST /sign-in`` sign a browser in, ``/sign-out`` out, ``/healthz`` says
what is ready. Streamlit's own routes speak OpenID Connect where secrets.toml has ``[auth]``. Knows
no pages; never imports torch or tinker (the engine's state is read from its file and over HTTP).
"""

import argparse
import asyncio
import json
import os
from html import escape
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import streamlit as st
from sqlalchemy import text
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from annotate_app.entering import enter_by_password
from annotate_app.settling import settle
from db import people
from db.errors import Busy, PersonaLoopError, TooManyTries, WrongPassword
from db.logins import LOGIN_DAYS
from db.session import open_database, require_current, transact
from db.settings import outputs_dir

COOKIE = "personaloop_login"
PROVIDERS_COOKIE = "_streamlit_user"
"""What Streamlit keeps of a sign-in at an OpenID provider."""
FORM_BYTES = 8192
"""More than a name and a password can be."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Streamlit's charts compile expressions and its components are blobs; what matters here is
    # that no text can load or send anything elsewhere.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:;"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:;"
        " connect-src 'self' ws: wss: data: blob:; worker-src 'self' blob:; object-src 'none';"
        " base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
}

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>
<style>:root{{color-scheme:light dark}}body{{font:17px/1.6 system-ui,sans-serif;max-width:34rem;
margin:18vh auto 0;padding:0 1.5rem;background:light-dark(#fcfbf9,#15181c);
color:light-dark(#23272e,#e5e7e9)}}h1{{font-size:1.5rem;font-weight:600}}
code{{background:light-dark(#f2f0ec,#1e2328);padding:.15em .4em;border-radius:4px}}
a{{color:light-dark(#0b6b6b,#5cc4bc)}}</style><h1>{title}</h1>{body}</html>"""


class Headers:
    """Adds the headers above to every HTTP answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; put the headers in front of the answer."""

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, add if scope["type"] == "http" else send)


async def healthz(request: Request) -> Response:
    """200 when the app, the database and the engine are ready, else 503; the same JSON."""
    database, engine = await asyncio.gather(run_in_threadpool(_database_state), _engine_state())
    state = {"app": "ok", "database": database, "engine": engine}
    ready = all(value in {"ok", "hosted"} for value in state.values())
    body = {"status": "ok" if ready else "not ready", **state}
    return JSONResponse(body, 200 if ready else 503, headers={"Cache-Control": "no-store"})


async def invite(request: Request) -> Response:
    """Redeem a one-time link: the cookie and on to the app, or a kind page if it was used."""
    if request.method == "HEAD":  # link previews look without taking the link
        return Response(status_code=200, headers={"Cache-Control": "no-store"})
    token = request.path_params["token"]
    try:
        login = await run_in_threadpool(
            transact, None, lambda session: people.redeem(session, token)
        )
    except Busy:
        return _words(
            503,
            "One moment, please",
            "<p>Many people are saving at this moment. Your link was not used up:"
            " <a href=''>try it again</a>.</p>",
        )
    except PersonaLoopError as error:
        return _words(
            410,
            "This link does not work any more",
            f"<p>{escape(_sentence(str(error)))}</p><p>Each link signs in one person, once. If"
            " you have signed in with it in this browser, simply <a href='/'>go on</a>."
            " Otherwise ask for a new one:</p>"
            "<p><code>personaloop users invite --name … --role …</code></p>",
        )
    return _signed_in(request, login)


async def sign_in(request: Request) -> Response:
    """Name and password from the sign-in page: the cookie and on, or back with the reason."""
    if not _from_our_own_page(request):
        return _words(
            403,
            "Not from here",
            "<p>A page elsewhere tried to sign you in. Nothing was done; to sign in, use"
            " <a href='/'>the sign-in page</a>.</p>",
        )
    if not request.headers.get("content-length", "").isdigit() or (
        int(request.headers["content-length"]) > FORM_BYTES
    ):
        return _words(413, "That is too long", "<p><a href='/'>Back to the sign-in page</a></p>")
    form = await request.form()
    name, password = (str(form.get(part) or "") for part in ("username", "password"))
    address = request.client.host if request.client else ""
    try:
        login = await run_in_threadpool(enter_by_password, name, password, address)
    except TooManyTries as error:
        return _back(said="wait", seconds=error.seconds)
    except WrongPassword:
        return _back(said="wrong")
    except Busy:
        return _back(said="busy")
    except PersonaLoopError:
        return _back(said="off")
    return _signed_in(request, login)


async def sign_out(request: Request) -> Response:
    """End this browser's sign-in, here and in the ledger, and at Streamlit's provider if any."""
    token = request.cookies.get(COOKIE)
    if token:
        try:
            await run_in_threadpool(transact, None, lambda session: people.sign_out(session, token))
        except Busy:
            return _words(
                503,
                "You are still signed in",
                "<p>Many people are saving at this moment. Nothing is lost; please"
                " <a href='/sign-out'>try to sign out again</a>, or <a href='/'>go on judging</a>."
                "</p>",
            )
    onward = "/auth/logout" if PROVIDERS_COOKIE in request.cookies else "/"
    response = RedirectResponse(onward, status_code=303, headers={"Cache-Control": "no-store"})
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


def _signed_in(request: Request, login: str) -> Response:
    response = RedirectResponse("/", status_code=303, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        COOKIE,
        login,
        max_age=LOGIN_DAYS * 86400,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )
    return response


def _back(**said: object) -> Response:
    """To the sign-in page, which finds the words."""
    headers = {"Cache-Control": "no-store"}
    return RedirectResponse(f"/?{urlencode(said)}", status_code=303, headers=headers)


def _from_our_own_page(request: Request) -> bool:
    """Whether a form was sent by a page of ours: browsers say which site a POST comes from."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    site = urlsplit(origin).netloc
    return bool(site) and site == request.headers.get("host")


def _database_state() -> str:
    try:
        require_current()
        with open_database().connect() as connection:
            connection.execute(text("SELECT 1"))
    except PersonaLoopError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is not ready
        return f"not answering ({type(error).__name__})"
    return "ok"


async def _engine_state() -> str:
    if os.environ.get("TINKER_API_KEY"):
        return "hosted"
    try:
        known = json.loads((outputs_dir() / "engine" / "engine.json").read_text("utf-8"))
        url = str(known["url"]).rstrip("/")
    except (OSError, ValueError, KeyError, TypeError):
        return "not running"
    try:
        async with httpx.AsyncClient(timeout=2.0, trust_env=False) as client:
            answer = await client.get(f"{url}/healthz", headers={"X-API-Key": str(known["key"])})
    except (httpx.HTTPError, KeyError):
        return "starting"
    return "ok" if answer.status_code == 200 else "starting"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


def _words(status: int, title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        PAGE.format(title=escape(title), body=body), status, headers={"Cache-Control": "no-store"}
    )


app = st.App(
    Path(__file__).with_name("app.py"),
    routes=[
        Route("/healthz", healthz),
        Route("/invite/{token}", invite),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out),
    ],
    middleware=[Middleware(Headers)],
)


def main() -> None:
    """Serve on one address until stopped: ``python -m annotate_app.server --port 8501``."""
    parser = argparse.ArgumentParser(description="PersonaLoop's web server (see personaloop serve)")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    arguments = parser.parse_args()
    settle()
    app.run(
        config={
            "server.address": arguments.host,
            "server.port": arguments.port,
            "server.headless": True,
        }
    )


if __name__ == "__main__":
    main()
