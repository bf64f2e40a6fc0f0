"""Try what `make dist` has built: install it in new environments, and use it there.

The wheel goes into one of each Python that is here and that the classifiers name, first alone and
then with the server's extras; the sdist into one of the Python that runs this; and the wheel once
as the container image has it, on what requirements.lock names.  It prints a line for each, and
ends with status 1 if anything is wrong, or if no Python was found.
"""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMOKE = Path(__file__).parent / "smoke.py"
DOCKERFILE, LOCK = ROOT / "Dockerfile", ROOT / "requirements.lock"
EXTRAS = "server,dashboard,postgres,cli"
WHERE = "import sys; print(*sys.version_info[:2], sep='.'); print(sys.executable)"
RELATIVE_LINK = re.compile(r"\]\((?!https?:|#)[^)]*\)")


def main() -> int:
    """Try all; return the exit status."""
    (wheel,), (sdist,) = ROOT.glob("dist/*.whl"), ROOT.glob("dist/*.tar.gz")
    named = check_wheel(wheel)
    found = {version: python for version in named if (python := find_python(version)) is not None}
    for version, python in found.items():
        try_in_new_environment(python, wheel, "")
        try_in_new_environment(python, wheel, EXTRAS)
        print(f"{wheel.name} on Python {version}: works", flush=True)
    try_in_new_environment(sys.executable, sdist, "")
    print(f"{sdist.name}: works")
    (image,) = set(re.findall(r"^FROM python:(3\.\d+)", DOCKERFILE.read_text(), re.M))
    if image in found:
        try_in_new_environment(found[image], wheel, "", LOCK)
        print(f"{wheel.name} with {LOCK.name}, as in the image: works")
    if missing := sorted(set(named) - set(found)):
        print(f"not tried, since they are not here: Python {', '.join(missing)}")
    return 0 if found else 1


def check_wheel(wheel: Path) -> list[str]:
    """Check what is in the wheel; return the versions of Python that it is for."""
    with zipfile.ZipFile(wheel) as files:
        names = files.namelist()
        (about,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(files.read(about))
    top = {name.partition("/")[0] for name in names if ".dist-info" not in name}
    assert top == {"schedcore", "schedhttp"}, f"the wheel also has {top}"
    for package in ("schedcore", "schedhttp"):
        assert f"{package}/py.typed" in names, f"{package} has no py.typed"
    assert any(name.endswith("licenses/LICENSE") for name in names), "the wheel has no licence"
    dead = RELATIVE_LINK.findall(str(metadata.get_payload()))
    assert not dead, f"links of the README that lead nowhere on a package's page: {dead}"
    classifiers = metadata.get_all("Classifier") or []
    return re.findall(r":: (3\.\d+)$", "\n".join(classifiers), re.M)


def find_python(version: str) -> str | None:
    """Return the path of a Python of this version: of the system, of PATH, or of pyenv."""
    named = (shutil.which(f"python{version}"), f"/usr/bin/python{version}")
    pyenv = (Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")
    for candidate in (*named, *map(str, pyenv)):
        if candidate is None or not Path(candidate).exists():
            continue
        told = subprocess.run(
            [candidate, "-Ic", WHERE], capture_output=True, text=True, check=False
        ).stdout.split("\n")
        if told[0] == version:
            return told[1]
    return None


def try_in_new_environment(python: str, built: Path, extras: str, lock: Path | None = None) -> None:
    """Install what was built, and nothing of this folder, and use it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = f"{folder}/bin/python"
        wanted = f"schedcore-engine[{extras}] @ {built.as_uri()}"
        pip = [own, "-Im", "pip", "--quiet", "--disable-pip-version-check"]
        if lock is not None:
            locked = ["install", "--require-hashes", "--only-binary", ":all:", "--requirement"]
            subprocess.run([*pip, *locked, str(lock)], check=True)
        subprocess.run([*pip, "install", *(["--no-deps"] if lock else []), wanted], check=True)
        subprocess.run([*pip, "check"], check=True, stdout=subprocess.DEVNULL)
        smoke = [own, "-I", "-W", "error", str(SMOKE)]
        done = subprocess.run(smoke, check=False, cwd=folder, stderr=subprocess.PIPE, text=True)
        # What is raised where nobody can catch it is printed, and the status is 0 all the same.
        if done.returncode or "Exception ignored" in done.stderr:
            raise SystemExit(f"{built.name} on {python}:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
