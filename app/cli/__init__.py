"""``batch-exports``: the verbs, thin. Results go to standard output, everything else to standard error."""

import typer

from app.cli import demo, encryption, events, flags, notifications, runs, serve, stack, tenants

app = typer.Typer(
    name="batch-exports",
    help="Streams product-analytics events out of an event store into people's own stores.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
serve.register(app)
stack.register(app)
demo.register(app)
app.add_typer(tenants.organizations, name="organizations")
app.add_typer(tenants.projects, name="projects")
app.add_typer(tenants.keys, name="keys")
app.add_typer(flags.app, name="flags")
app.add_typer(notifications.app, name="notifications")
app.add_typer(runs.app, name="runs")
app.add_typer(encryption.app, name="encryption")
app.add_typer(events.app, name="events")


def main() -> None:
    app()
