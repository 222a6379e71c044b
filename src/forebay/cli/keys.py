"""`forebay keys`: access keys and their grants."""

from typing import Annotated

import typer

from forebay.cli.options import invocation
from forebay.cli.screen import JSON, as_json, said, table
from forebay.config.credentials import profile_of, write_profile

app = typer.Typer(no_args_is_help=True, help="Create, list, revoke and rotate access keys.")
Json = Annotated[bool, JSON]
KeyId = Annotated[str, typer.Argument(help="The id of a key; see `forebay keys list`.")]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Name of the profile to write; default: the id.")
]


@app.command(epilog="Example:  forebay keys create --grant /onprem:read --profile analysts")
def create(
    context: typer.Context,
    grant: Annotated[
        list[str], typer.Option("--grant", "-g", help="<lake path>:<read|write|admin>, repeatable.")
    ],
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Create a key; its secret goes into the credentials file, never onto the screen."""
    call = invocation(context)
    made = call.node().post("/v1/keys", {"grants": grant, "description": description})
    secret = made.pop("secret")
    place = write_profile(call.settings().credentials, profile or made["key_id"], made, secret)
    if json:
        as_json({**made, "credentials": str(place), "profile": profile or made["key_id"]})
        return
    said(f"key {made['key_id']} is in {place}, profile [{profile or made['key_id']}]")


@app.command("list")
def list_(context: typer.Context, json: Json = False) -> None:
    """List the keys and their grants; secrets are never shown."""
    keys = invocation(context).node().get("/v1/keys")["keys"]
    if json:
        as_json(keys)
        return
    table(
        ("key", "grants", "created", "revoked", "description"),
        (
            (
                key["key_id"],
                " ".join(key["grants"]),
                key["created_at"][:19],
                (key["revoked_at"] or "")[:19],
                key["description"],
            )
            for key in keys
        ),
    )


@app.command()
def revoke(context: typer.Context, key_id: KeyId, json: Json = False) -> None:
    """Revoke a key: within a second no door accepts it."""
    gone = invocation(context).node().delete(f"/v1/keys/{key_id}")
    as_json(gone) if json else said(f"revoked {key_id}")


@app.command()
def rotate(
    context: typer.Context,
    key_id: KeyId,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old secret still works, such as 1h.")
    ] = "0s",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Give a key a new secret; id and grants stay."""
    call = invocation(context)
    file = call.settings().credentials
    # The profile that has the old secret is the one that needs the new one.
    target = profile or profile_of(file, key_id) or key_id
    made = call.node().post(f"/v1/keys/{key_id}/rotate", {"grace": grace})
    secret = made.pop("secret")
    write_profile(file, target, made, secret)
    as_json({**made, "credentials": str(file), "profile": target}) if json else said(
        f"the new secret of {key_id} is in {file}, profile [{target}]"
    )
