"""A Slurm of one node and a Ray of one node, started for the tests that use them and stopped afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

GPUS = 4  # pretended: a file stands for each
DAEMONS = ("slurmctld", "slurmd", "munged", "srun")
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobRequeue=1
KillWait=30
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SchedulerParameters=batch_sched_delay=1,sched_interval=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 Gres=gpu:{gpus} CPUs={cpus} CoresPerSocket={cpus} Sockets=1 ThreadsPerCore=1
PartitionName=usual Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes={host} MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
"""


def slurm_is_missing() -> str | None:
    """Why no Slurm can be started here; None where one can."""
    if missing := [name for name in DAEMONS if shutil.which(name, path=path()) is None]:
        return f"{', '.join(missing)} not found: apt-get install slurmctld slurmd slurm-client munge"
    return None if os.getuid() == 0 else "Slurm's daemons need root"


def path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """A Slurm of this machine alone, beside whichever is installed; gives the environment in which it is found."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    host, cpus = socket.gethostname().partition(".")[0], os.cpu_count()
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path()}
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(host=host, folder=folder, cpus=cpus, gpus=GPUS, controller=free_port(), worker=free_port())
    )
    devices = [Path(f"/dev/{name}") for name in ("null", "zero", "full", "random")]
    lines = [f"NodeName={host} Name=gpu File={device}" for device in devices]
    (folder / "gres.conf").write_text("\n".join(lines) + "\n")
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={folder}/munge.key"]
    munged += [
        f"--pid-file={folder}/munged.pid",
        f"--log-file={folder}/munged.log",
        f"--seed-file={folder}/munged.seed",
    ]
    commands = [munged, ["slurmctld", "-D"], ["slurmd", "-D"]]
    daemons: list[subprocess.Popen] = []
    try:
        for words in commands:
            with (folder / f"{words[0]}.out").open("w") as out:
                daemons.append(subprocess.Popen(words, env=environment, stdout=out, stderr=out, start_new_session=True))
            if words is munged:
                wait_until((folder / "munge.socket").exists, folder)
        wait_until(lambda: asked(["sinfo", "-h", "-o", "%t"], environment) in ("idle", "idle\nidle"), folder)
        yield environment
    finally:
        asked(["scancel", "--full", "--signal=KILL", "--user=root"], environment)
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=30)


def asked(words: list[str], environment: dict[str, str]) -> str:
    """What a command of Slurm's answers."""
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip()


def wait_until(holds, folder: Path, seconds: float = 60.0) -> None:
    """Wait for a daemon; where it does not come, show what they wrote."""
    until = time.monotonic() + seconds
    while not holds():
        said = {path.name: path.read_text()[-2000:] for path in [*folder.glob("*.out"), *folder.glob("*.log")]}
        assert time.monotonic() < until, said
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def ray(folder: Path, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A Ray of this machine, with pretended GPUs; gives the environment, made from the one given, that finds it."""
    port = free_port()
    environment = environment | {"RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_USAGE_STATS_ENABLED": "0"}
    words = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", f"--port={port}"]
    words += ["--num-cpus=2", f"--num-gpus={GPUS}", "--include-dashboard=false", f"--temp-dir={folder}"]
    words += ["--object-store-memory=100000000"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start.out").open("w") as out:
        head = subprocess.Popen(words, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until(lambda: "--block" in (folder / "start.out").read_text(), folder, seconds=180)
        yield environment
    finally:
        head.terminate()
        head.wait(timeout=60)
