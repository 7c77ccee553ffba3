"""Makes a workspace at W&B with the panels that show what freezing does: python -m freezeout.run.workspace.

Needs `wandb login` and the extra `workspace`. Each call makes a new saved view of the project, beside those it has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from freezeout.parser import Parser
from freezeout.run import wandb_session
from freezeout.run.tracking import Wandb

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

NAME = "FreezeOut"


def main(arguments: list[str] | None = None) -> int:
    """Makes the workspace and prints its address.

    Args:
        arguments: Words of the command line; None takes those of this process.

    Returns:
        Exit code: 0, or 2 if it could not be created; a line on stderr says why.
    """
    try:
        defaults = Wandb(mode="online")
    except ValueError as error:  # of a variable
        return refuse(str(error))
    parser = Parser(prog="python -m freezeout.run.workspace", description=__doc__)
    parser.add_argument("--entity", help="user or team (default: WANDB_ENTITY, or the account's)")
    parser.add_argument("--project", default=defaults.effective_project, help="default: WANDB_PROJECT, or freezeout")
    chosen = parser.parse_args(arguments)
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        return refuse("wandb-workspaces is not installed: pip install 'freezeout[workspace]'")
    try:
        wandb, _ = wandb_session.prepare("online")
        entity = chosen.entity or defaults.effective_entity or wandb.Api().default_entity
        made = workspace(entity, chosen.project)
        made.save()
        print(f"made {made.url}")
    except Exception as error:  # whatever W&B or the connection refuses: nothing was created
        return refuse(wandb_session.give_up(error))
    return 0


def refuse(reason: str) -> int:
    print(f"no workspace made: {reason}", file=sys.stderr)
    return 2


def workspace(entity: str, project: str) -> Workspace:
    """The workspace, not yet saved to W&B.

    Args:
        entity: User or team.
        project: Its project; what its runs log is named in `freezeout.run.wandb_view`.
    """
    from wandb_workspaces.reports import v2 as panels
    from wandb_workspaces.workspaces import Section, Workspace, WorkspaceSettings

    by_strategy: dict[str, Any] = {
        "groupby": panels.Metric("JobType"),
        "groupby_aggfunc": "mean",
        "groupby_rangefunc": "minmax",
    }
    error, seconds = panels.SummaryMetric("error"), panels.SummaryMetric("seconds/train")
    pays: list[Any] = [
        panels.LinePlot(
            title="Error against training seconds, by strategy",
            x="seconds",
            y=["by_seconds/error"],
            title_x="training seconds",
            title_y="error, %",
            **by_strategy,
        ),
        panels.ScatterPlot(title="Final error against training seconds", x=seconds, y=error),
        panels.BarPlot(
            title="Saving, a fraction of the baseline's time: from FLOPs, by the paper's formula, profiled",
            metrics=["saving/predicted", "saving/estimated", "saving/profiled"],
            **by_strategy,
        ),
        panels.ScatterPlot(
            title="Final error against predicted saving", x=panels.SummaryMetric("saving/predicted"), y=error
        ),
    ]
    freezing: list[Any] = [
        panels.LinePlot(title="Active stages", x="epoch", y=["active_stages"]),
        panels.LinePlot(
            title="Learning rate by stage (one run)", x="epoch", metric_regex="learning_rate/.*", max_runs_to_show=1
        ),
        panels.LinePlot(title="Seconds per training step, by strategy", x="epoch", y=["step_seconds"], **by_strategy),
    ]
    learning: list[Any] = [
        panels.LinePlot(title=title, x="epoch", y=[metric], title_y=unit)
        for title, metric, unit in (
            ("Error", "error", "%"),
            ("Evaluation loss", "eval_loss", None),
            ("Training loss", "train_loss", None),
        )
    ]
    sections = (("Does it pay?", pays), ("What freezing does", freezing), ("Learning", learning))
    return Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[Section(name=name, panels=shown, is_open=True) for name, shown in sections],
        settings=WorkspaceSettings(max_runs=100),  # W&B's default of 10 would omit most of a sweep
    )


if __name__ == "__main__":
    sys.exit(main())
