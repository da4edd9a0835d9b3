"""``bandoso user``: accounts, what each may do, and the secrets they show. For whoever owns the database."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from psycopg import Connection
from rich.console import Console
from rich.table import Table

from gis.cli_common import Output, common_options
from gis.cli_user_grants import Wanted, grant_options, in_words
from gis.errors import UsageError
from gis.identity.principal import ROLES
from gis.settings import Settings


@click.group(
    epilog="""\b
Examples:
  bandoso user add lan --agency sawaco --role editor
  bandoso user add minh --agency sawaco --role editor --layer water_valve --area-ward 26734
  bandoso user token lan --scope read --days 30     prints the token alone
  bandoso user list

docs/users.md says what each role may do.
"""
)
def user() -> None:
    """Manage accounts: who may see and change what."""


_password_options = (
    click.option("--password-stdin", is_flag=True, help="Read the password from standard input."),
    click.option("--prompt", is_flag=True, help="Ask for the password."),
)


@user.command(
    epilog="""\b
Examples:
  bandoso user add lan --agency sawaco --role editor
  bandoso user add gis-bot --agency thkt --role editor --no-password
  bandoso user add hoa --agency city --role steward --subject 7f3c0d1e
"""
)
@click.argument("name")
@grant_options
@_password_options[0]
@_password_options[1]
@click.option("--no-password", is_flag=True, help="No login by password: tokens or --subject only.")
@click.option("--subject", metavar="SUB", help="Its subject (sub) at the OIDC provider.")
@common_options
def add(
    settings: Settings,
    output: Output,
    name: str,
    wanted: Wanted,
    password_stdin: bool,
    prompt: bool,
    no_password: bool,
    subject: str | None,
) -> None:
    """Add an account with a role. Its password is made and printed once, unless you give one."""
    from gis.identity import accounts

    if no_password and (password_stdin or prompt):
        raise click.UsageError("--no-password goes with no password")
    known_as = _subject(settings, subject)
    password, made = (None, False)
    if not no_password and not (subject and not (password_stdin or prompt)):
        password, made = _password(password_stdin, prompt, name)
    with _owner(settings) as connection, connection.transaction():
        account = accounts.add_account(connection, name, password, subject=known_as, agency=wanted.agency)
        wanted.give(connection, settings, account)
        shown = accounts.listed(connection, name)[0].as_json()
    if made:
        shown["password_once"] = password
    output.emit(shown, f"{name}: {wanted}" + (f"\npassword: {password}   (shown this once)" if made else ""))


@user.command("list", epilog="\b\nExample:\n  bandoso user list --json")
@common_options
def list_(settings: Settings, output: Output) -> None:
    """All accounts and what each was granted."""
    from gis.identity import accounts

    with _owner(settings) as connection:
        found = accounts.listed(connection)
    if output.as_json:
        output.emit([one.as_json() for one in found], "")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "grants", "login", "tokens", ""):
        table.add_column(heading, no_wrap=True)
    for one in found:
        login = [word for word, has in (("password", one.password), ("provider", one.subject)) if has]
        table.add_row(
            one.name,
            "; ".join(map(in_words, one.grants)) or "-",
            ", ".join(login) or "-",
            str(sum(t["revoked_at"] is None for t in one.tokens)),
            "disabled" if one.disabled else "",
        )
    console = Console()
    (console if console.is_terminal else Console(width=240)).print(table)


@user.command(epilog="\b\nExample:\n  bandoso user show lan")
@click.argument("name")
@common_options
def show(settings: Settings, output: Output, name: str) -> None:
    """One account: grants with their areas, and tokens."""
    from gis.identity import accounts

    with _owner(settings) as connection:
        accounts.find(connection, name)
        one = accounts.listed(connection, name)[0]
    lines = [
        f"{one.name}{' (disabled)' if one.disabled else ''}",
        f"  agency    {one.agency or '-'}",
        f"  password  {'yes' if one.password else 'no'}",
        f"  subject   {one.subject or '-'}",
        *(f"  grant     {in_words(grant)}" for grant in one.grants),
        *(
            f"  token {t['id']}  {t['name']}: {', '.join(t['scopes'])}, "
            + ("revoked" if t["revoked_at"] else f"until {t['expires_at'][:10]}")
            + f", last used {(t['used_at'] or 'never')[:16]}"
            for t in one.tokens
        ),
    ]
    output.emit(one.as_json(), "\n".join(lines))


@user.command(
    epilog="""\b
Examples:
  bandoso user grant lan --agency thkt --role viewer
  bandoso user grant lan --agency sawaco --role editor --area district7.geojson
"""
)
@click.argument("name")
@grant_options
@common_options
def grant(settings: Settings, output: Output, name: str, wanted: Wanted) -> None:
    """Give a role for an agency. The same grant with another area takes the former's place."""
    from gis.identity import accounts

    with _owner(settings) as connection, connection.transaction():
        wanted.give(connection, settings, accounts.find(connection, name))
        one = accounts.listed(connection, name)[0]
    output.emit(one.as_json(), f"{name}: {'; '.join(map(in_words, one.grants))}")


@user.command(
    epilog="""\b
Examples:
  bandoso user revoke lan --agency thkt
  bandoso user revoke lan --agency sawaco --role editor --layer water_valve
  bandoso user revoke lan --token 12
"""
)
@click.argument("name")
@click.option("--agency", metavar="ID", help="Grants for this agency.")
@click.option("--role", type=click.Choice(ROLES), help="Of this role [all].")
@click.option("--layer", metavar="ID", help="On this layer [all].")
@click.option("--token", type=int, metavar="N", help="A token, by its number (user show).")
@common_options
def revoke(
    settings: Settings,
    output: Output,
    name: str,
    agency: str | None,
    role: str | None,
    layer: str | None,
    token: int | None,
) -> None:
    """Take grants or a token away, at once."""
    from gis.identity import accounts

    if (token is None) == (agency is None):
        raise click.UsageError("name either --agency or --token")
    with _owner(settings) as connection:
        account = accounts.find(connection, name)
        if token is not None:
            accounts.revoke_token(connection, token, account)
            output.emit({"revoked_token": token}, f"token {token} of {name} is revoked")
            return
        done = accounts.revoke(connection, account, role, agency, layer)
    if not done:
        raise UsageError(f"{name} has no such grant", hint=f"see bandoso user show {name}")
    output.emit({"revoked_grants": done}, f"{done} grant{'s' if done > 1 else ''} of {name} taken away")


@user.command(
    epilog="""\b
Examples:
  bandoso user password lan
  pass show lan | bandoso user password lan --password-stdin
"""
)
@click.argument("name")
@_password_options[0]
@_password_options[1]
@click.option("--none", "no_password", is_flag=True, help="No login by password any more.")
@common_options
def password(
    settings: Settings, output: Output, name: str, password_stdin: bool, prompt: bool, no_password: bool
) -> None:
    """Change a password.

    One is made and printed once, unless you give it.
    """
    from gis.identity import accounts

    if no_password and (password_stdin or prompt):
        raise click.UsageError("--none goes with no password")
    with _owner(settings) as connection:
        account = accounts.find(connection, name)
        chosen, made = (None, False) if no_password else _password(password_stdin, prompt, name)
        accounts.set_password(connection, account, chosen)
    shown = {"name": name, **({"password_once": chosen} if made else {})}
    done = f"{name} logs in by password no more" if no_password else f"{name} has a new password"
    output.emit(shown, f"password: {chosen}   (shown this once)" if made else done)


@user.command(
    epilog="""\b
Examples:
  bandoso user token lan
  TOKEN=$(bandoso user token gis-bot --scope edit:water_pipe --scope read --days 365)
"""
)
@click.argument("name")
@click.option("--name", "label", default="command line", help="What the token is called.")
@click.option("--scope", "scopes", multiple=True, help="read, edit, manage, edit:LAYER ... [read, edit].")
@click.option("--days", type=int, default=90, show_default=True, help="How long it lasts.")
@common_options
def token(
    settings: Settings, output: Output, name: str, label: str, scopes: tuple[str, ...], days: int
) -> None:
    """Make an API token, and print it alone. It is shown this once."""
    from gis.identity import accounts, tokens

    with _owner(settings) as connection:
        account = accounts.find(connection, name)
        wanted = scopes or tokens.DEFAULT_SCOPES
        secret, number = accounts.make_token(connection, account, label, wanted, days)
    output.emit({"id": number, "token": secret, "scopes": sorted(wanted), "days": days}, secret)


@user.command(epilog="\b\nExample:\n  bandoso user disable lan")
@click.argument("name")
@common_options
def disable(settings: Settings, output: Output, name: str) -> None:
    """Close an account: no login, no token, no writing."""
    _switch(settings, output, name, disabled=True)


@user.command(epilog="\b\nExample:\n  bandoso user enable lan")
@click.argument("name")
@common_options
def enable(settings: Settings, output: Output, name: str) -> None:
    """Open a disabled account again."""
    _switch(settings, output, name, disabled=False)


@user.command(epilog="\b\nExample:\n  bandoso user remove lan")
@click.argument("name")
@common_options
def remove(settings: Settings, output: Output, name: str) -> None:
    """Delete an account with its grants and tokens. History keeps its name."""
    from gis.identity import accounts

    with _owner(settings) as connection:
        accounts.remove(connection, accounts.find(connection, name))
    output.emit({"removed": name}, f"{name} is removed")


def _switch(settings: Settings, output: Output, name: str, *, disabled: bool) -> None:
    from gis.identity import accounts

    with _owner(settings) as connection:
        accounts.disable(connection, accounts.find(connection, name), disabled)
    output.emit({"name": name, "disabled": disabled}, f"{name} is {'disabled' if disabled else 'enabled'}")


@contextmanager
def _owner(settings: Settings) -> Iterator[Connection]:
    """An owner's connection to a database that is ready for accounts."""
    from gis.db.migrate import prepare_what_stands
    from gis.db.pool import owner_connection
    from gis.db.server import database

    city = settings.load_city()
    with database(settings) as db:
        prepare_what_stands(db.owner_dsn, city, settings.load_catalogue(city))
        with owner_connection(db) as connection:
            yield connection


def _password(from_stdin: bool, prompt: bool, name: str) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    from gis.identity import passwords

    if from_stdin:
        return passwords.check(sys.stdin.readline().rstrip("\r\n"), name), False
    if prompt:
        given = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return passwords.check(given, name), False
    return passwords.generate(), True


def _subject(settings: Settings, given: str | None) -> str | None:
    """As it is kept: after the issuer."""
    if given is None or " " in given:
        return given
    if not settings.oidc_issuer:
        raise UsageError(
            "a subject needs the provider's issuer", hint='set BANDOSO_OIDC_ISSUER, or give "ISSUER SUB"'
        )
    return f"{settings.oidc_issuer} {given}"
