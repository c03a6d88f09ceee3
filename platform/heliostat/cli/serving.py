"""`helio ui`: the MLflow UI."""

from __future__ import annotations

from typing import Annotated

import typer

from heliostat.cli.answer import answering
from heliostat.cli.options import AsJson
from heliostat.cli.services import Services


def ui(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="The port.")] = 5000,
    as_json: AsJson = False,
) -> None:
    """Serve the MLflow UI until Ctrl-C."""
    services: Services = context.obj
    with answering(as_json) as answer:

        def opened(url: str) -> None:
            answer({"url": url}, [f"MLflow UI: {url} (Ctrl-C ends it)"])

        services.ui(host=host, port=port, opened=opened)
