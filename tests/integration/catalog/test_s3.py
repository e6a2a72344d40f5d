"""Object storage over its own protocol: catalog, inputs, results, links and exports on an S3 server."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fsspec
import pyarrow.parquet
import pytest

from providers.spec import Need, Via
from sandbox import SandboxConfig
from tests import http
from tests.invariants import wrongs
from tests.stack import PORTRAITS, Stack, running
from tests.words import names
from workers.config.settings import Settings
from workers.images.inputs import BadInputError, ImageSpec, Inputs, InputTroubleError
from workers.images.storage import Storage, StorageError

BUCKET = "shop"
SECONDS = 300.0
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
DATA = b"\xff\xd8 not really a picture"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server with one bucket, and the environment that leads to it, which this process has too."""
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    )
    assert process.stdout is not None
    env = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{process.stdout.readline().strip()}", "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield env
        fsspec.filesystem("s3").clear_instance_cache()
    process.communicate("")  # the server ends with its input
    log.close()


@pytest.fixture
def objects(s3: dict[str, str]) -> Any:
    return fsspec.filesystem("s3")


@pytest.fixture(scope="module")
def stack(s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A deployment whose pictures are kept in the bucket, and that no provider can reach but by the bucket's links."""
    home = tmp_path_factory.mktemp("deployment")
    # A catalog in a bucket may name local files only below the roots.
    roots = ",".join([str(PORTRAITS), *(f"s3://{BUCKET}/{prefix}" for prefix in ("in", "photos", "faces"))])
    places = {"RECAST_STORAGE_URL": f"s3://{BUCKET}/pictures", "RECAST_INPUT_ROOTS": roots}
    with running(home, SandboxConfig(home=home / "sandbox", latency=0.3), **places, **s3) as stack:
        stack.only("sandbox-zhiqite", "sandbox-qolaba")
        stack.worker().wait_ready()
        yield stack


def recast(stack: Stack, *arguments: str) -> str:
    command = [sys.executable, "-m", "cli", *arguments]
    done = subprocess.run(
        command, cwd=stack.home, env=stack.env, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_catalog_its_inputs_results_and_exports_in_a_bucket(stack: Stack, objects: Any) -> None:
    # Given a catalog in a bucket that names pictures beside it, in a local folder, and elsewhere in the bucket
    objects.put_file(str(PORTRAITS / "astronaut.png"), f"{BUCKET}/in/faces/anna.png")
    objects.put_file(str(PORTRAITS / "grace_hopper.jpg"), f"{BUCKET}/in/schön.jpg")
    rows = [
        ["key", "kind", "source", "target", "image", "prompt", "operation", "options", "sku"],
        ["beside", "swap", "faces/anna.png", "schön.jpg", "", "", "zhiqite.swap", "", "A-1"],
        ["above", "swap", str(PORTRAITS / "astronaut.png"), "../in/schön.jpg", "", "", "zhiqite.swap", "", "ü"],
        ["made", "generate", "", "", "faces/anna.png", "a portrait", "qolaba.consistency",
         '{"width": 256, "height": 256}', "=1"],
    ]  # fmt: skip
    table = io.StringIO()
    csv.writer(table).writerows(rows)
    objects.pipe_file(f"{BUCKET}/in/spring.csv", table.getvalue().encode())
    # When it is run
    done = json.loads(recast(stack, "run", f"s3://{BUCKET}/in/spring.csv", "--json"))
    # Then all are made, and the pictures lie in the bucket
    assert done["states"]["succeeded"] == 3, done
    keys = [row.key for row in stack.sql("SELECT key FROM results ORDER BY id")]
    assert len(keys) == 3
    for key in keys:
        data = objects.cat_file(f"{BUCKET}/pictures/{key}")
        assert hashlib.sha256(data).hexdigest() == Path(key).stem
    # What the other invariants say of a picture, they say of a folder's.
    assert [wrong for wrong in wrongs(stack) if "storage" not in wrong] == []
    # And the export goes there too, table and pictures, with the metadata back
    to = f"s3://{BUCKET}/out"
    template = "{operation}/{key}-{index}.{ext}"
    places = ("--to", f"{to}/spring.parquet", "--pictures", f"{to}/pictures", "--template", template)
    export = ("export", "spring", *places)
    recast(stack, *export)
    with objects.open(f"{BUCKET}/out/spring.parquet", "rb") as file:
        exported = pyarrow.parquet.read_table(io.BytesIO(file.read())).to_pylist()
    assert [(row["key"], row["state"], row["sku"]) for row in exported] == [
        ("beside", "succeeded", "A-1"), ("above", "succeeded", "ü"),
        ("made", "succeeded", "=1"),
    ]  # fmt: skip
    objects.invalidate_cache()
    found = {path.removeprefix(f"{BUCKET}/out/pictures/") for path in objects.find(f"{BUCKET}/out/pictures")}
    names = {name.rpartition(".")[0] for name in found if not name.startswith(".")}
    assert names == {f"zhiqite.swap/{key}-0" for key in ("beside", "above")} | {"qolaba.consistency/made-0"}
    # And again, only what is missing is written
    gone = next(name for name in found if "above" in name)
    times = written_at(objects)
    objects.rm_file(f"{BUCKET}/out/pictures/{gone}")
    recast(stack, *export)
    after = written_at(objects)
    assert after.keys() == times.keys()
    pictures = {name for name in after if "/pictures/" in name and not name.endswith(".json")}
    assert {name for name in pictures if after[name] != times[name]} == {f"{BUCKET}/out/pictures/{gone}"}


def written_at(objects: Any) -> dict[str, Any]:
    objects.invalidate_cache()
    return {name: info["LastModified"] for name, info in objects.find(f"{BUCKET}/out", detail=True).items()}


def test_faces_for_every_picture_of_a_prefix(stack: Stack, objects: Any) -> None:
    for name in ("a/1.jpg", "a/b/2.jpg"):
        objects.put_file(str(PORTRAITS / "grace_hopper.jpg"), f"{BUCKET}/photos/{name}")
    objects.put_file(str(PORTRAITS / "astronaut.png"), f"{BUCKET}/faces/anna.png")
    place = f"s3://{BUCKET}/photos/**/*.jpg"
    planned = json.loads(recast(stack, "run", place, "--source", f"s3://{BUCKET}/faces", "--dry-run", "--json"))
    assert (planned["batch"], planned["rows"], planned["refused"]) == ("photos", 2, [])


def test_links_let_a_provider_in_for_a_while_and_are_signed_as_all_regions_take_it(s3: dict[str, str]) -> None:
    storage = Storage(f"s3://{BUCKET}/links")
    storage.check_writable()
    key = storage.put(DATA, sha256=SHA, suffix="jpg")
    assert (storage.get(key), storage.exists(key), storage.url(key)) == (DATA, True, f"s3://{BUCKET}/links/{key}")
    link = storage.signed_url(key, timedelta(minutes=5))
    assert link is not None
    query = parse_qs(urlsplit(link).query)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], ["300"])
    assert http.get(link).content == DATA
    assert "X-Amz-Expires=604800" in (storage.signed_url(key, timedelta(days=30)) or "")


def test_what_is_not_there_is_told(s3: dict[str, str]) -> None:
    key = f"{SHA[:2]}/{SHA[2:4]}/{SHA}.png"
    with pytest.raises(StorageError, match=names(key)):
        Storage(f"s3://{BUCKET}/links").get(key)
    with pytest.raises(StorageError, match=names("s3://no-such-bucket")):
        Storage("s3://no-such-bucket").check_writable()


def test_an_object_that_was_written_anew_is_read_anew(objects: Any) -> None:
    settings = Settings(_env_file=None, storage_url=f"s3://{BUCKET}/inputs")
    inputs = Inputs(settings, Storage(settings.storage))
    uri, spec = f"s3://{BUCKET}/in/face", ImageSpec(Need(Via.URL))
    first, second = (PORTRAITS / name for name in ("astronaut.png", "grace_hopper.jpg"))
    for picture in (first, first, second):
        objects.put_file(str(picture), uri)
        link = inputs.link("source", uri, spec)
        assert link.sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
        assert http.get(link.url or "").content == picture.read_bytes()


def test_inputs_that_cannot_be_had(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = Inputs(Settings(_env_file=None, storage_url="memory://x"), Storage("memory://x"))
    for use in (inputs.read, inputs.link):
        with pytest.raises(BadInputError, match=names("source", "s3://shop/gone.jpg")):
            use("source", f"s3://{BUCKET}/gone.jpg")
    # A server that is away says nothing of the picture: the job is tried again later.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    fsspec.filesystem("s3").clear_instance_cache()
    with pytest.raises(InputTroubleError, match=names("source", f"s3://{BUCKET}/gone.jpg")):
        inputs.link("source", f"s3://{BUCKET}/gone.jpg")
    fsspec.filesystem("s3").clear_instance_cache()
