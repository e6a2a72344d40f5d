"""The sandbox's PiktID, against PiktID's pages and its own client."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sandbox import SandboxConfig, piktid
from sandbox.config import CREDENTIAL
from sandbox.inbox import DOWNLOAD_SECONDS
from tests.http import Client, Response
from tests.sandbox_client import Clock, connected, encoded, picture

BASE = "/piktid"
READ = f"{BASE}/consistent_identities/notification/read"
BY_NAME = f"{BASE}/notification_by_name_json"
GENERATE = f"{BASE}/consistent_identities/generate/v2"
HOUR = 3600.0
SOME = encoded(Image.new("RGB", (64, 64), "#4e79a7"))


@contextmanager
def sandbox(home: Path, **more: Any) -> Iterator[Client]:
    settings: dict[str, Any] = {"latency": 0.0, "inbox_gap": 0.0} | more
    with connected(SandboxConfig(home=home, pictures="cheap", **settings), {}) as client:
        yield client


@contextmanager
def signed_in(home: Path, **more: Any) -> Iterator[Client]:
    with sandbox(home, **more) as client:
        client.headers["Authorization"] = f"Bearer {tokens(client)['access_token']}"
        yield client


def basic(email: str, password: str = CREDENTIAL) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{email}:{password}".encode()).decode()}


def tokens(client: Client, email: str = "sandbox@example.org") -> dict[str, str]:
    answer = client.post(f"{BASE}/tokens", headers=basic(email))
    assert answer.status_code == 200
    pair: dict[str, str] = answer.json()
    return pair


def refreshed(client: Client, pair: dict[str, str]) -> Response:
    return client.put(f"{BASE}/tokens", json={name: pair[name] for name in ("access_token", "refresh_token")})


def works(client: Client, pair: dict[str, str]) -> bool:
    headers = {"Authorization": f"Bearer {pair['access_token']}"}
    status = client.post(READ, json={"name_list": "swap"}, headers=headers).status_code
    assert status in {200, 401}
    return status == 200


def upload(client: Client, kind: str, data: bytes = SOME, field: str = "file", **form: str) -> Response:
    return client.post(f"{BASE}/consistent_identities/upload_{kind}", files={field: ("a.png", data)}, data=form)


def order(client: Client, **options: object) -> dict[str, Any]:
    """Upload a target and a face, and return the body of a swap of the two."""
    return {
        "id_image": upload(client, "target").json()["image_id"],
        "id_face": 0,
        "identity_name": upload(client, "face").json()["identity_name"],
        "options": json.dumps({"flag_replace_and_download": True, **options}),
    }


def events(client: Client, names: str = "swap, new_generation,download , error") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.post(READ, json={"name_list": names}).json()["notifications_list"]
    return found


def bill(client: Client) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = client.get("/_sandbox/bill").json()["lines"]
    return lines


# --- Tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", [basic("sandbox@example.org", "wrong"), basic("me@example.org"), {}])
def test_a_wrong_login_gives_no_tokens(tmp_path: Path, login: dict[str, str]) -> None:
    with sandbox(tmp_path) as client:
        answer = client.post(f"{BASE}/tokens", headers=login)
        assert (answer.status_code, answer.json().keys()) == (401, {"code", "message", "description"})


def test_a_refresh_gives_a_new_pair_once(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        first, other = tokens(client), tokens(client)
        answer = refreshed(client, first).json()
        assert answer.keys() == {"access_token", "refresh_token", "access_expiration", "refresh_expiration"}
        assert works(client, answer)
        assert refreshed(client, answer).status_code == 200
        assert works(client, other)


def test_a_second_use_of_a_refresh_token_revokes_every_token_of_the_account_and_no_other(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        first, bystander, stranger = tokens(client), tokens(client), tokens(client, "sandbox-2@example.org")
        second = refreshed(client, first).json()
        assert all(works(client, pair) for pair in (second, bystander, stranger))
        assert refreshed(client, first).status_code == 401
        assert [works(client, pair) for pair in (first, second, bystander)] == [False] * 3
        assert refreshed(client, second).status_code == 401
        assert works(client, stranger)
        assert works(client, tokens(client))


def test_a_pair_belongs_together(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        first, second = tokens(client), tokens(client)
        assert refreshed(client, first | {"refresh_token": second["refresh_token"]}).status_code == 401
        assert refreshed(client, second).status_code == 200


def test_an_access_token_expires_and_its_refresh_token_does_not(tmp_path: Path) -> None:
    with sandbox(tmp_path, tokens_expire=0.0) as client:
        pair = tokens(client)
        assert not works(client, pair)
        assert refreshed(client, pair).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/consistent_identities/upload_target"),
        ("POST", "/consistent_identities/upload_face"),
        ("POST", "/consistent_identities/generate/v2"),
        ("POST", "/consistent_identities/notification/read"),
        ("POST", "/notification_by_name_json"),
        ("DELETE", "/notification/delete_json"),
        ("POST", "/history"),
        ("POST", "/images_by_id/v2"),
    ],
)
@pytest.mark.parametrize("header", ["Bearer stolen", "sandbox", ""])
def test_without_a_token_everything_is_401(tmp_path: Path, method: str, path: str, header: str) -> None:
    with sandbox(tmp_path) as client:
        body = {"name_list": "swap"}
        answer = client.request(method, BASE + path, json=body, headers={"Authorization": header})
        assert (answer.status_code, answer.json()["code"]) == (401, 401)


# --- Uploads ---------------------------------------------------------------------------------------------------------


def test_each_target_is_an_image_of_its_own_and_tells_its_faces(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        first, second = (upload(client, "target", options='{"flag_hair": true}').json() for _ in range(2))
        assert first["image_id"] != second["image_id"]
        faces = first["faces"]
        assert (faces["approved_faces"], faces["number_of_faces"]) == ([1], 1)
        assert faces["coordinates_list"][0].keys() == {
            "id", "centerX", "centerY", "cornerX", "cornerY", "boxWidth", "boxHeight",
        }  # fmt: skip


@pytest.mark.parametrize("field", ["file", "face"])
def test_a_face_is_taken_under_both_names_of_its_field(tmp_path: Path, field: str) -> None:
    with signed_in(tmp_path) as client:
        assert upload(client, "face", field=field, identity_name="ada").json() == {"identity_name": "ada"}
        names = [upload(client, "face", field=field).json()["identity_name"] for _ in range(2)]
        assert len(set(names)) == 2


@pytest.mark.parametrize("kind", ["target", "face"])
@pytest.mark.parametrize(
    ("form", "status"), [("JPEG", 200), ("PNG", 200), ("WEBP", 200), ("GIF", 400), ("BMP", 400), ("", 400)]
)
def test_jpeg_png_and_webp_are_taken(tmp_path: Path, kind: str, form: str, status: int) -> None:
    data = encoded(Image.new("RGB", (32, 32)), form) if form else b"no picture"
    with signed_in(tmp_path) as client:
        assert upload(client, kind, data).status_code == status


@pytest.mark.parametrize("options", ["{", "[]", '{"flag_hair": "perhaps"}'])
def test_options_of_an_upload_are_json(tmp_path: Path, options: str) -> None:
    with signed_in(tmp_path) as client:
        assert upload(client, "target", options=options).status_code == 400


# --- Submissions -----------------------------------------------------------------------------------------------------


def test_a_submission_is_answered_by_the_schema_of_an_upload_without_a_job_id(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        answer = client.post(GENERATE, json=body | {"id_face": "0", "flag_sync": False})
        assert answer.status_code == 200
        assert answer.json().keys() == {
            "image_id", "faces", "coordinates_list", "thumbnails", "blurred_faces_list", "face_description_list",
        }  # fmt: skip
        [line] = bill(client)
        assert (line["reference"], line["handle"], line["amount"]) == (f"{body['id_image']}/0",) * 2 + ("0.05",)


@pytest.mark.parametrize(
    "more",
    [
        {"options": {"prompt_strength": 0.5}},
        {"options": "{"},
        {"options": '{"prompt_strength": 1.5}'},
        {"id_face": None},
        {"id_face": -1},
        {"id_image": None},
        {"id_image": "unknown"},
        {"identity_name": "unknown"},
    ],
)
def test_what_cannot_be_understood_is_not_billed(tmp_path: Path, more: dict[str, object]) -> None:
    with signed_in(tmp_path) as client:
        answer = client.post(GENERATE, json=order(client) | more)
        assert (answer.status_code, answer.json().keys()) == (400, {"code", "message", "description"})
        assert bill(client) == []


def test_a_repeated_submission_is_billed_again(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        for _ in range(2):
            client.post(GENERATE, json=body)
        assert len(bill(client)) == 2


def test_an_identity_serves_many_targets_and_belongs_to_its_account(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        name = upload(client, "face").json()["identity_name"]
        for _ in range(2):
            assert client.post(GENERATE, json=order(client) | {"identity_name": name}).status_code == 200
        client.headers["Authorization"] = f"Bearer {tokens(client, 'sandbox-2@example.org')['access_token']}"
        assert client.post(GENERATE, json=order(client) | {"identity_name": name}).status_code == 400


# --- The inbox -------------------------------------------------------------------------------------------------------


def test_results_are_events_that_name_the_image(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        client.post(GENERATE, json=body)
        found = {event["name"]: event["data"] for event in events(client)}
        assert found.keys() == {"new_generation", "swap", "download"}
        assert {found[name]["id_image"] for name in ("new_generation", "download")} == {body["id_image"]}
        link = found["swap"]["links"][0]["l"]
        assert picture(client.get(link).content).format == "PNG"
        assert found["new_generation"]["link"] != link
        assert [event["name"] for event in events(client, "download")] == ["download"]


def test_a_swap_event_has_what_its_page_prints_and_names_the_target_in_turn(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        bodies = [order(client) for _ in range(3)]
        for body in bodies:
            client.post(GENERATE, json=body)
        found = [event["data"] for event in events(client, "swap")]
        assert all(data.keys() == {"face_name", "target_name", "links"} for data in found)
        assert [data["face_name"] for data in found] == [body["identity_name"] for body in bodies]
        assert {data["target_name"] for data in found} == {"a.png", "a", bodies[2]["id_image"]}


def test_a_download_comes_with_the_swap_or_some_time_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(piktid, "time", clock)
    with signed_in(tmp_path) as client:
        for _ in range(2):
            client.post(GENERATE, json=order(client))
        seen = []
        for ahead in (0.0, DOWNLOAD_SECONDS):
            clock.ahead = ahead
            seen.append([event["name"] for event in events(client, "swap,download")].count("download"))
        assert seen == [1, 2]


def test_links_of_a_download_come_in_two_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(piktid, "time", clock)
    with signed_in(tmp_path) as client:
        for _ in range(2):
            client.post(GENERATE, json=order(client))
        clock.ahead = DOWNLOAD_SECONDS
        links = [event["data"]["link_hd"] for event in events(client, "download")]
        assert {type(link) for link in links} == {str, dict}
        for link in links:
            url = link if isinstance(link, str) else link["l"]
            assert client.get(url).status_code == 200


def test_without_the_flag_there_is_no_download(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        client.post(GENERATE, json=order(client, flag_replace_and_download=False))
        assert {event["name"] for event in events(client)} == {"new_generation", "swap"}


def test_progress_comes_before_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(piktid, "time", clock)
    with signed_in(tmp_path, latency=HOUR) as client:
        client.post(GENERATE, json=order(client))
        seen = []
        for ahead in (0.0, 0.6 * HOUR, 1.1 * HOUR):
            clock.ahead = ahead
            seen.append({event["name"] for event in events(client)})
        assert seen == [set(), {"new_generation"}, {"swap", "download"}]  # 600 s later, progress has vanished


def test_a_failure_is_an_event_that_names_nothing(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        client.post("/_sandbox/faults", json={"fault": "fail", "error": "content", "times": 1})
        assert client.post(GENERATE, json=body).status_code == 200
        assert client.post(GENERATE, json=body | {"id_face": 1}).status_code == 200  # there is no second face
        found = events(client)
        assert [event["name"] for event in found] == ["error", "error"]
        assert all(event["data"].keys() == {"tasks", "msg"} for event in found)
        assert "face" in found[1]["data"]["msg"]
        assert [line["status"] for line in bill(client)] == ["failed", "failed"]


def test_an_event_is_delivered_until_it_is_deleted_for_good(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        client.post(GENERATE, json=order(client))
        [event] = events(client, "download")
        assert events(client, "download") == [event]
        for status in (200, 405):
            answer = client.request("DELETE", f"{BASE}/notification/delete_json", json={"id": event["id"]})
            assert answer.status_code == status
        assert events(client, "download") == []
        header = client.headers["Authorization"]
    with sandbox(tmp_path) as client:  # tokens and events are still those of before the restart
        client.headers["Authorization"] = header
        assert {event["name"] for event in events(client)} == {"new_generation", "swap"}


def test_an_event_vanishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(piktid, "time", clock)
    with signed_in(tmp_path) as client:
        client.post(GENERATE, json=order(client))
        clock.ahead = 590.0
        [event] = events(client, "download")
        clock.ahead = 601.0
        gone = client.request("DELETE", f"{BASE}/notification/delete_json", json={"id": event["id"]})
        assert (events(client), gone.status_code) == ([], 405)


def test_one_inbox_for_each_account(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        client.post(GENERATE, json=order(client))
        [event] = events(client, "swap")
        client.headers["Authorization"] = f"Bearer {tokens(client, 'sandbox-2@example.org')['access_token']}"
        deleted = client.request("DELETE", f"{BASE}/notification/delete_json", json={"id": event["id"]})
        assert (events(client), deleted.status_code) == ([], 405)


def test_calls_that_come_too_soon_are_refused_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(piktid, "time", clock)
    with signed_in(tmp_path, inbox_gap=3.0) as client:
        statuses = []
        for ahead, path in ((0.0, READ), (1.0, BY_NAME), (2.5, READ), (3.1, READ)):
            clock.ahead = ahead
            statuses.append(client.post(path, json={"name_list": "swap"}).status_code)
        assert statuses == [200, 429, 429, 200]
        assert client.get("/_sandbox/stats").json()["too_soon"] == {"piktid:sandbox@example.org": 2}
        other = {"Authorization": f"Bearer {tokens(client, 'sandbox-2@example.org')['access_token']}"}
        assert client.post(READ, json={"name_list": "swap"}, headers=other).status_code == 200


def test_name_list_is_a_text(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        assert client.post(READ, json={"name_list": ["swap"]}).status_code == 400
        assert client.post(BY_NAME, json={"name_list": ["swap"]}).status_code == 200


def test_the_other_inbox_can_be_asked_for_one_image(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        bodies = [order(client), order(client)]
        for body in bodies:
            client.post(GENERATE, json=body)
        asked = {"id_image": bodies[1]["id_image"], "name_list": "swap"}
        found = client.post(BY_NAME, json=asked).json()["notifications_list"]
        assert [event["data"]["face_name"] for event in found] == [bodies[1]["identity_name"]]


# --- The history -----------------------------------------------------------------------------------------------------


def test_the_history_lists_what_is_finished(tmp_path: Path) -> None:
    with signed_in(tmp_path, latency=HOUR) as client:
        body = order(client)
        asked = {"id_image": body["id_image"], "app": "swap"}
        assert client.post(f"{BASE}/history", json=asked).json() == {"history": [], "info_list": []}
        client.post(GENERATE, json=body)
        assert client.post(f"{BASE}/history", json=asked).json() == {"history": [], "info_list": []}
        client.post(GENERATE, json=body | {"id_face": 1})  # will fail, which nobody is told before it has
        about = client.post(f"{BASE}/images_by_id/v2", json=asked).json()
        assert (about["status"], about["errors_list"]) == ("processing", [])
        header = client.headers["Authorization"]
        unread = events(client)
    with sandbox(tmp_path) as client:
        client.headers["Authorization"] = header
        client.post(GENERATE, json=body)
        [link] = client.post(f"{BASE}/history", json=asked).json()["history"]
        assert client.get(link if isinstance(link, str) else link["l"]).status_code == 200
        about = client.post(f"{BASE}/images_by_id/v2", json=asked).json()
        assert (about["generations_per_face"], about["replace_per_face"]) == ([2, 1], [1])
        assert (unread, len(about["new"])) == ([], 1)


@pytest.mark.parametrize("page", ["history", "images_by_id/v2"])
@pytest.mark.parametrize("image", [None, "", "unknown"])
def test_an_unknown_image_is_405(tmp_path: Path, page: str, image: str | None) -> None:
    with signed_in(tmp_path) as client:
        assert client.post(f"{BASE}/{page}", json={"id_image": image, "app": "swap"}).status_code == 405


def test_a_lost_job_is_in_neither(tmp_path: Path) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        client.post("/_sandbox/faults", json={"fault": "lost"})
        client.post(GENERATE, json=body)
        assert events(client) == []
        assert client.post(f"{BASE}/history", json={"id_image": body["id_image"]}).json()["history"] == []
        assert [line["status"] for line in bill(client)] == ["lost"]


@pytest.mark.parametrize(("name", "status"), [("auth", 401), ("out_of_credit", 402), ("throttle", 429)])
def test_refusals_take_nothing(tmp_path: Path, name: str, status: int) -> None:
    with signed_in(tmp_path) as client:
        body = order(client)
        client.post("/_sandbox/faults", json={"fault": name})
        assert client.post(GENERATE, json=body).status_code == status
        assert bill(client) == []


def test_a_reset_refresh_was_used(tmp_path: Path) -> None:
    with sandbox(tmp_path) as client:
        pair = tokens(client)
        client.post("/_sandbox/faults", json={"fault": "error5xx", "where": {"call": "token"}, "times": 1})
        assert refreshed(client, pair).status_code == 502
        assert refreshed(client, pair).status_code == 401
