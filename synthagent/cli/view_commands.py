"""The command `view`. Only words and wiring here, as in `main`."""

from pathlib import Path
from typing import Annotated

import typer

from synthagent.cli.options import Config, JudgeRole, JudgeWay, Mode, Tools, User


def view(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Run folders, task files, training runs, or folders of them.", show_default=False),
    ],
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond loopback SYNTHAGENT_TOKEN must be set.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8720,
    keep: Annotated[Path, typer.Option(help="The run folder for episodes that are played by hand and kept.")] = Path(
        "runs/person"
    ),
    user: User = "facts",
    tools: Tools = None,
    map_: Mode = "state",
    judge: JudgeRole = None,
    judge_mode: JudgeWay = "checks",
    config: Config = None,
) -> None:
    """Look at runs, tasks and training runs in a browser, and play tasks by hand."""
    from synthagent.cli.bench import bench
    from synthagent.cli.casting import others
    from synthagent.cli.viewing import Place, run_view

    with_ = others(user, tools, map_, "memory", paths[0], 0.0, bench=bench(judge, judge_mode))
    run_view(paths, Place(host, port, keep), with_, config)
