"""`helio ui`: the MLflow UI."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson
from heliostat.cli.services import Services

if TYPE_CHECKING:
    from heliostat.runtime.ui import Pages


def ui(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port.")] = 5000,
    as_json: AsJson = False,
) -> None:
    """Serve the MLflow UI until Ctrl-C; where a server runs already, say where."""
    services: Services = context.obj
    with answering(as_json) as answer:

        def opened(pages: Pages) -> None:
            how = " (Ctrl-C ends it)" if pages.started else ""
            if pages.password_file:
                how = f" (user helio, password: in {pages.password_file})"
            answer(asdict(pages), [f"MLflow UI: {pages.url}{how}"])

        services.ui(host=host, port=port, opened=opened)
