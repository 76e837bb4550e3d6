"""The command: one look after the other, each shown as it comes."""

from collections.abc import Sequence

import click

import beat_schedule
from app.cli.connect import resolved_settings
from app.cli.doctor import machine, redises
from app.cli.doctor.finding import Finding, Findings, Verdict, fail, ok
from app.cli.exits import Exit, Failure
from app.cli.options import json_option
from app.cli.output import Output
from app.settings import Settings, SettingsError, load_launch_settings

LOOK_AGAIN = "Mend them in the environment or in .env, and look again."


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Say what is wrong with this machine's Tocsin, and how to mend it.

    It looks at the things themselves, not over the API, so it helps when that is down. Exit code 1
    if something fails; a warning is none.
    """
    out = Output(as_json=as_json)
    findings = []
    for finding in _look():
        findings.append(finding)
        _show(out, finding)
    counts = {verdict: sum(one.verdict is verdict for one in findings) for verdict in Verdict}
    out.data(_as_data(findings))
    out.line(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    return Exit.FAILED if counts[Verdict.FAIL] else Exit.DONE


def _look() -> Findings:
    settings: Settings | None = None
    try:
        launch = load_launch_settings()
        settings = resolved_settings()
        yield ok("settings", "all there")
    except SettingsError as error:
        yield fail("settings", str(error), LOOK_AGAIN)
        return
    except Failure as failure:
        if failure.code is not Exit.NO_ANSWER:
            yield fail("settings", str(failure), "Be the user who runs Tocsin.")
            return
        yield fail("running", f"Nothing runs on {launch.data_dir}.", "make run")
    folder = (settings or launch).data_dir
    yield from machine.data_dir(folder)
    yield from machine.disk(folder)
    yield from machine.ports(launch, settings)

    # What SQLAlchemy brings along takes a second, and wrong settings need none of it.
    from app.cli.doctor import database

    if settings is None:
        yield from redises.unknown("nothing runs")
        yield from database.unknown("nothing runs")
    else:
        yield from redises.redises(settings)
        yield from database.database(settings, beat_schedule.LANES)


def _show(out: Output, finding: Finding) -> None:
    first, *more = finding.detail.splitlines()
    out.parts((f"{finding.verdict:<5}", finding.verdict), (f"{finding.check:<12}", "bold"), first)
    for line in more:
        out.line(f"{'':<19}{line.strip()}")
    if finding.remedy:
        out.line(f"{'':<19}→ {finding.remedy}", "cyan")


def _as_data(findings: Sequence[Finding]) -> dict[str, object]:
    verdicts = {one.verdict for one in findings}
    worst = next(one for one in (Verdict.FAIL, Verdict.WARN, Verdict.OK) if one in verdicts)
    return {
        "status": worst,
        "checks": [
            {
                "check": one.check,
                "status": one.verdict,
                "detail": one.detail,
                "remedy": one.remedy,
            }
            for one in findings
        ],
    }
