"""``personaloop users``: passwords, accounts at a provider, links that wait, signing out.

Parses options and prints; what is done is in the modules that are called.
"""

import sys

import click

from db import audit, identities, invites, logins, passwords, people
from db.command_options import actor, database_option
from db.errors import Refused
from db.models import AnnotatorKind
from db.session import readers, sessions, upgrade


@click.command()
@click.argument("name")
@click.option(
    "--stdin",
    "from_stdin",
    is_flag=True,
    help="Read the password from the first line of standard input instead of the terminal.",
)
@database_option
def password(name: str, from_stdin: bool, database_url: str | None) -> None:
    """Set the password of NAME's account, and sign them out everywhere.

    Asks twice without showing it. At least 10 characters, and not the name. Only its argon2id
    hash is kept. Whoever is invited can set one on their own account page instead.
    """
    upgrade(database_url)
    with readers(database_url)() as session:
        found = people.person(session, name)
    if found.kind is not AnnotatorKind.HUMAN:
        raise Refused(f"{found.name!r} is a {found.kind.value} annotator; only people sign in")
    if from_stdin:
        text = sys.stdin.readline().rstrip("\r\n")
    else:
        text = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    hash = passwords.hashed(found.name, text)
    with sessions(database_url).begin() as session:
        ended = passwords.put(session, found.id, hash)
        audit.record(session, actor(), "set password", found.name, logins_ended=ended)
    click.echo(f"{found.name} can sign in with the new password; {_ended(ended)}")


@click.command()
@click.argument("name")
@click.option(
    "--issuer",
    required=True,
    help="The provider, as `issuer` in its /.well-known/openid-configuration, e.g."
    " https://accounts.google.com.",
)
@click.option("--subject", default="", help="The account's `sub` there; the sign-in page shows it.")
@click.option(
    "--email",
    default="",
    help="Or its address, where the provider verifies addresses: bound at its first sign-in.",
)
@database_option
def link(name: str, issuer: str, subject: str, email: str, database_url: str | None) -> None:
    """Let an account at an OpenID provider sign NAME in (see docs/signing-in.md).

    Give --subject or --email. A person who is signed in can connect their own account page with
    it instead.
    """
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        identities.link(session, name, issuer, subject=subject, email=email)
        audit.record(
            session, actor(), "link", name.strip(), issuer=issuer, account=subject or email
        )
    click.echo(f"{subject or email} at {issuer} signs in {name.strip()}")


@click.command()
@click.argument("name")
@click.option("--issuer", default="", help="Only this provider's.", show_default="all")
@database_option
def unlink(name: str, issuer: str, database_url: str | None) -> None:
    """Take NAME's accounts at OpenID providers away, and sign them out everywhere."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        gone = identities.unlink(session, name, issuer=issuer)
        if not gone:
            raise Refused(f"no account at {issuer or 'any provider'} signs in {name.strip()!r}")
        audit.record(session, actor(), "unlink", name.strip(), issuer=issuer, accounts=gone)
    click.echo(f"{gone} unlinked; {name.strip()} is signed out everywhere")


@click.command("invites")
@database_option
def list_invites(database_url: str | None) -> None:
    """List the links that wait to be used: number, name, role, made, runs out (UTC)."""
    upgrade(database_url)
    with readers(database_url)() as session:
        waiting = invites.outstanding(session)
    if not waiting:
        click.echo("no link waits; `personaloop users invite --name NAME` makes one")
    width = max((len(each.name) for each in waiting), default=0)
    for each in waiting:
        click.echo(
            f"{each.id:>5}  {each.name:<{width}}  {each.role:<9}"
            f"  {each.created_at:%Y-%m-%d %H:%M}  until {each.expires_at:%Y-%m-%d %H:%M}"
        )


@click.command()
@click.argument("numbers", metavar="NUMBER...", type=int, nargs=-1, required=True)
@database_option
def revoke(numbers: tuple[int, ...], database_url: str | None) -> None:
    """Take links back, by their NUMBER in `personaloop users invites`: they open nothing."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        names = [invites.revoke(session, number) for number in numbers]
        for number, name in zip(numbers, names, strict=True):
            audit.record(session, actor(), "revoke invite", name, invite=number)
    for number, name in zip(numbers, names, strict=True):
        click.echo(f"link {number} for {name} opens nothing any more")


@click.command("sign-out")
@click.argument("name")
@database_option
def sign_out(name: str, database_url: str | None) -> None:
    """Sign NAME out in every browser, at once; the account stays as it is."""
    upgrade(database_url)
    with sessions(database_url).begin() as session:
        ended = logins.revoke_all(session, people.person(session, name).id)
        audit.record(session, actor(), "sign out", name.strip(), logins_ended=ended)
    click.echo(f"{name.strip()}: {_ended(ended)}")


def _ended(count: int) -> str:
    return f"{count} {'browser was' if count == 1 else 'browsers were'} signed out"


COMMANDS = (password, link, unlink, list_invites, revoke, sign_out)
